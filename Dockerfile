# One image for the API and the worker: `… serve` and `… worker`. Everything secret comes from the environment.

FROM python:3.12.12-slim-bookworm AS build
WORKDIR /build
COPY requirements-run.lock ./
# The lock is whole, and leaves out what python-jose asks for and never uses here. What is compiled is checked by nobody's
# time of day, so that two builds give the same files.
RUN python -m venv /opt/pobratym \
    && /opt/pobratym/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps \
        --no-compile -r requirements-run.lock
COPY deploy/image/sbom.py api/__init__.py ./
RUN /opt/pobratym/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /opt/pobratym/lib \
    && python sbom.py requirements-run.lock __init__.py >/opt/pobratym/sbom.cdx.json

FROM python:3.12.12-slim-bookworm
ENV PATH=/opt/pobratym/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    POBRATYM_DATA_DIR=/var/lib/pobratym
RUN install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/pobratym
WORKDIR /app
COPY --from=build /opt/pobratym /opt/pobratym
COPY LICENSE alembic.ini ./
COPY migrations ./migrations
COPY service ./service
COPY integrations ./integrations
COPY api ./api
# What it runs is compiled here, as nobody may write where it runs; by content, so that two builds are equal.
RUN python -m compileall -q --invalidation-mode unchecked-hash service integrations api migrations
USER 10001:10001
EXPOSE 8000
# Of whichever command runs: it asks the port of `serve`, or that of `worker`.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["python", "-m", "api", "health"]
ENTRYPOINT ["python", "-m", "api"]
CMD ["serve", "--host", "0.0.0.0", "--no-worker"]
