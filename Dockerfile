# One process, one unprivileged user, one writable folder: /data. The rest of the file system may be read-only.
# The base is an argument, so that `make image-check` can replace it; both stages use the same one.
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /build
COPY tools/uv.txt ./
RUN python3 -m venv uv \
 && uv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r uv.txt
# Dependencies before the source: a change of the source rebuilds only the last layers.
COPY requirements/app.txt ./
RUN python3 -m venv --without-pip /opt/venv \
 && uv/bin/uv pip install --python /opt/venv/bin/python --require-hashes -r app.txt
WORKDIR /srv/licentia
COPY alembic.ini ./
COPY migrations ./migrations
COPY app ./app
# Compile bytecode here, because the program cannot write it at run time. `unchecked-hash` ignores the times of the files.
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash app migrations

FROM ${PYTHON_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Licentia" \
      org.opencontainers.image.description="End-user authentication and licensing in one call, from one container." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 licentia \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin licentia \
 && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/licentia /srv/licentia
# No secrets here: name their files at run time with LICENTIA_ENCRYPTION_KEYS_FILE and LICENTIA_LOOKUP_KEY_FILE.
ENV PATH="/opt/venv/bin:${PATH}" \
    HOME=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LICENTIA_ENV=production \
    LICENTIA_HOST=0.0.0.0 \
    LICENTIA_VAR=/data \
    LICENTIA_DATABASE_URL=sqlite+aiosqlite:////data/licentia.db
WORKDIR /srv/licentia
USER 10001:10001
VOLUME ["/data"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["/opt/venv/bin/python", "-m", "app", "health"]
# `serve --migrate` for a single container; with replicas, run `migrate` as a separate job before them.
ENTRYPOINT ["/opt/venv/bin/python", "-m", "app"]
CMD ["serve"]
