# The same image as from ../Dockerfile, of a binary that was built before. It needs no registry and no Go:
#
#   make build && docker build -f examples/prebuilt.Dockerfile -t finite .
#
# For another architecture: make dist, and --build-arg BINARY=dist/finite-linux-arm64
FROM scratch
ARG BINARY=bin/finite
COPY ${BINARY} /finite
ENTRYPOINT ["/finite"]
