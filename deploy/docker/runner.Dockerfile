# The runner, from the binaries of a release. .github/workflows/release.yml creates the context: a folder with `amd64` and `arm64`.
FROM gcr.io/distroless/static-debian13@sha256:58133991db06659feaabe0f4e97a35cebf15ef4ea08f8a4c6d2ee5f75e4aa6a0
ARG TARGETARCH
COPY --chmod=755 ${TARGETARCH}/e2e-matrix /usr/local/bin/
ENTRYPOINT ["/usr/local/bin/e2e-matrix"]
