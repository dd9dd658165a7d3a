# One image for every role: `docker run IMAGE producer`, `consumer`, `standalone`, `migrate`, `dlq-drain`, ...
#
# The program supports TLS to PostgreSQL and RabbitMQ, and trace export. The image has no shell and no package manager.
# It runs as user 65532 and writes only to /data (for `standalone` and exports), so the root file system can be
# read-only.
#
# Pin both base images with: --build-arg BUILD_IMAGE=...@sha256:... --build-arg BASE_IMAGE=...@sha256:...

ARG BUILD_IMAGE=docker.io/library/rust:1.95-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

# ---- build ----------------------------------------------------------------------------------------------------------
# hadolint ignore=DL3006
FROM ${BUILD_IMAGE} AS build
WORKDIR /build

# Build only the dependencies, so that this layer stays cached until they change.
COPY Cargo.toml Cargo.lock build.rs ./
RUN mkdir -p src tests \
    && echo 'fn main() {}' >src/main.rs \
    && touch src/lib.rs tests/main.rs \
    && cargo build --locked --release --features tls,otlp

COPY migrations migrations
COPY docs/OPERATIONS.md docs/DEAD-LETTERS.md docs/
COPY src src
# The sources must be newer than the build of the empty program.
RUN touch src/main.rs src/lib.rs \
    && cargo build --locked --release --features tls,otlp \
    && mkdir -p /out/data \
    && cp target/release/contacts /out/contacts

# ---- the image ------------------------------------------------------------------------------------------------------
# hadolint ignore=DL3006
FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="contacts" \
      org.opencontainers.image.description="Keeps a company's contacts behind an HTTP API that never loses an accepted change" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /out/contacts /usr/local/bin/contacts
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
WORKDIR /data
# 8080: the API. 8081: the admin port with /livez, /readyz and /metrics. Settings can change both.
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/usr/local/bin/contacts", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/contacts"]
CMD ["--help"]
