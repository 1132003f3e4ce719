# Your handlers on top of natsched: docker build -f Dockerfile.app -t your-app .
# The folder holds app.py with `registry`, natsched.toml with `app = "app:registry"`, and requirements.txt.

ARG NATSCHED=natsched:latest

FROM ${NATSCHED}
WORKDIR /app
COPY requirements.txt .
# Root for this alone: who runs it can change nothing here.
USER 0:0
RUN /opt/natsched/bin/pip install --no-cache-dir -r requirements.txt
USER 10001:10001
COPY app.py natsched.toml ./
