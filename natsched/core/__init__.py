"""The pure core: values in, values out. Nothing here reads a clock, a socket or a random number.

Theory of operation. A job is one document: what was asked (`spec`) and what is (`status`), with the one
next run it plans. A hint asks somebody to look at a job. `decide` takes a hint, the document and a few
facts, and answers with a frozen decision: claim, skip, wait, hand back, drop, or tell me more first. What a
decision writes is a whole new document, to be put in place of the one that was read by compare-and-set:
that write is the fence, the overlap check and the check of definition and plan in one. So nothing that
happens to messages (late, doubled, stale, lost) can make, lose or double a run.
"""
