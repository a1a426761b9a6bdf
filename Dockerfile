# An image that holds finite and nothing else. Two ways to use it:
#
#   COPY --from=finite /finite /finite          in an image of your own, with ENTRYPOINT ["/finite", "--"] or any options
#
#   FROM finite                                 for a static binary
#   COPY server /server
#   CMD ["/server"]
#
# Built with
#
#   make image                                  or: docker build -t finite .

ARG GO_IMAGE=golang:1.26-bookworm
FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
ARG COMMIT=unknown
RUN make build VERSION="$VERSION" COMMIT="$COMMIT"

FROM scratch
COPY --from=build /src/bin/finite /finite
# Without "--", so that options can still be given: `docker run IMAGE --timeout 30s -- /server`. They end at the first word that is none,
# so CMD ["/server", "--flag"] needs nothing in front; and every option has a variable: `docker run -e FINITE_TIMEOUT=30s IMAGE`.
ENTRYPOINT ["/finite"]
