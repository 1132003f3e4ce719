"""What the replicas of compose.yaml run: replace it by your own."""

from natsched import Context, Interval, Registry

registry = Registry()


@registry.job("sample.beat", Interval(seconds=1))
async def beat(ctx: Context) -> str:
    """Say who ran."""
    return ctx.replica
