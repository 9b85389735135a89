# The reference agent, from source. The context is the repository's root:
#   docker build -f deploy/docker/agent.Dockerfile -t plexd:dev .
#
# To use your own registry, choose the build image: --build-arg RUST_IMAGE=registry.example/rust:1.95.0-bookworm
ARG RUST_IMAGE=rust:1.95.0-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /source
COPY . .
# Linked statically, so that the image needs no libraries. glibc is used instead of musl because its allocator handles many
# connections better. A static glibc can't load name-service libraries, but the program has its own DNS resolver. With
# `--target`, the flag doesn't apply to build scripts and procedural macros.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
 && RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --locked --release --package plexd-agent --bin plexd --target "$target" \
 && install -D "target/$target/release/plexd" /out/usr/local/bin/plexd \
 && install -D /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt

FROM scratch
COPY --from=build /out/ /
# The health endpoints.
EXPOSE 9100
ENTRYPOINT ["/usr/local/bin/plexd"]
