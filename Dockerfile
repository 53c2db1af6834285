# Footfall in a container: one process on port 8000, or what FOOTFALL_ROLE and FOOTFALL_WORKERS say; its data under /data.
# Without FOOTFALL_DATABASE_URL it runs its own Postgres in there.

FROM python:3.13-slim AS builder

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1

WORKDIR /opt/footfall
RUN python -m venv .venv
COPY requirements.lock ./
RUN .venv/bin/python -m pip install --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md alembic.ini ./
COPY migrations migrations
COPY app app
# Editable: the container has the same folders as a checkout, so alembic.ini and migrations are where they belong.
RUN .venv/bin/python -m pip install --no-deps --no-build-isolation -e . \
    && .venv/bin/python -m compileall -q app migrations \
    && .venv/bin/python -m pip uninstall --yes pip


FROM python:3.13-slim

LABEL org.opencontainers.image.title="Footfall" \
      org.opencontainers.image.description="Self-hosted event tracking for storefronts: events in over REST, funnels and drop-off out."

# A fixed id, so that the owner of a mounted volume can be known beforehand.
RUN groupadd --gid 10001 footfall \
    && useradd --uid 10001 --gid footfall --no-create-home --home-dir /data --shell /usr/sbin/nologin footfall \
    && install --directory --owner=footfall --group=footfall --mode=0700 /data

COPY --from=builder /opt/footfall /opt/footfall

ENV PATH=/opt/footfall/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FOOTFALL_DATA_DIR=/data \
    FOOTFALL_PORT=8000 \
    NUMBA_CACHE_DIR=/data/numba

WORKDIR /opt/footfall
USER 10001:10001
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM

# The first start also makes a database; FOOTFALL_PORT may be set from outside.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['FOOTFALL_PORT'] + '/livez', timeout=4)"]

ENTRYPOINT ["footfall"]
CMD ["serve", "--host", "0.0.0.0"]
