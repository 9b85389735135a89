# The mock Central API, from source. The context is the repository's root:
#   docker build -f deploy/docker/mock-api.Dockerfile -t mockapi:dev .
#
# To use your own registry, choose the build image: --build-arg RUST_IMAGE=registry.example/rust:1.95.0-bookworm
ARG RUST_IMAGE=rust:1.95.0-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /source
COPY . .
# Linked statically with glibc, for the reasons in agent.Dockerfile.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
 && RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --locked --release --package mockapi --bin mockapi --target "$target" \
 && install -D "target/$target/release/mockapi" /out/usr/local/bin/mockapi

FROM scratch
COPY --from=build /out/ /
# The Central API, and the local endpoint over TLS.
EXPOSE 8080 8443
ENTRYPOINT ["/usr/local/bin/mockapi"]
# A manifest with its own `args` replaces these arguments.
CMD ["--addr", ":8080", "--tls-addr", ":8443"]
