# One image for every role: `docker run IMAGE producer`, `consumer`, `standalone`, `migrate`, `dlq-drain`, ...
#
# The program speaks TLS to PostgreSQL and RabbitMQ and can send traces. The image has no shell and no package manager,
# runs as user 65532 and writes nowhere but to /data (for `standalone` and exports), so its root can be read-only.
#
# Both bases can be pinned: --build-arg BUILD_IMAGE=...@sha256:... --build-arg BASE_IMAGE=...@sha256:...

ARG BUILD_IMAGE=docker.io/library/rust:1.95-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

# ---- build ----------------------------------------------------------------------------------------------------------
# hadolint ignore=DL3006
FROM ${BUILD_IMAGE} AS build
WORKDIR /build

# The dependencies alone, so that this layer is kept until they change.
COPY Cargo.toml Cargo.lock build.rs ./
RUN mkdir -p src tests \
    && echo 'fn main() {}' >src/main.rs \
    && touch src/lib.rs tests/main.rs \
    && cargo build --locked --release --features tls,otlp

COPY migrations migrations
COPY src src
# Newer than what was built of the empty program.
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
# The API, and the admin port with /livez, /readyz and /metrics; both listen where the settings say.
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/usr/local/bin/contacts", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/contacts"]
CMD ["--help"]
