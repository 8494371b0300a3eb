# The ready server in an image that holds nothing but it and CA certificates.
#
#   docker build --build-arg VERSION=v1.2.3 -t mcpsession .

FROM golang:1.26 AS build
WORKDIR /src
# Modules change less often than code: this layer outlives most changes.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION
# The same source and version give the same bytes, wherever this runs:
# -trimpath leaves out paths, -buildvcs=false what .git says.
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X 'main.version=${VERSION}'" -o /mcpsession ./cmd/mcpsession

FROM scratch
# For rediss:// and an https:// ACTIVE_PROJECT_URL.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /mcpsession /mcpsession
# By number, since scratch has no /etc/passwd, and so that Kubernetes can tell
# that it is not root.
USER 65532:65532
# Loopback inside a container reaches nobody.
ENV LISTEN_ADDR=0.0.0.0:8080
EXPOSE 8080
STOPSIGNAL SIGTERM
# Whether the process lives; whether to send it requests is /readyz, which a
# balancer asks. The start may wait 30s for Redis (REDIS_CONNECT_TIMEOUT).
HEALTHCHECK --interval=5s --timeout=5s --start-period=40s --retries=3 CMD ["/mcpsession", "healthcheck"]
ENTRYPOINT ["/mcpsession"]
ARG VERSION
LABEL org.opencontainers.image.title="mcpsession" \
      org.opencontainers.image.description="MCP server whose sessions any replica can serve" \
      org.opencontainers.image.source="https://github.com/mcpsession/mcpsession" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}"
