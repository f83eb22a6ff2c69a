# The image of Wharfinger: docker buildx build --platform linux/amd64,linux/arm64 --build-arg REVISION=$(git rev-parse HEAD) -t … .
# docs/adr/0024 says why it is made like this. All that is executed here is of the machine's own platform: no emulation.

# Only its tools are used; nothing of it gets into the image. To pin it, give it with its digest: --build-arg BUILD_IMAGE=…@sha256:…
ARG BUILD_IMAGE=docker.io/library/node:24-trixie-slim

FROM --platform=$BUILDPLATFORM ${BUILD_IMAGE} AS debian
ARG TARGETARCH
COPY image/debian-root.sh /image/
RUN /image/debian-root.sh "$TARGETARCH" /root-of-image

FROM --platform=$BUILDPLATFORM ${BUILD_IMAGE} AS dependencies
ARG TARGETARCH
ARG NPM_CONFIG_REGISTRY=https://registry.npmjs.org/
WORKDIR /build
COPY image/install-dependencies.sh image/place-dependencies.mjs image/
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=cache,target=/root/.npm image/install-dependencies.sh "$TARGETARCH" /root-of-image

FROM --platform=$BUILDPLATFORM ${BUILD_IMAGE} AS program
ARG TARGETARCH
ARG NPM_CONFIG_REGISTRY=https://registry.npmjs.org/
WORKDIR /build
COPY --from=debian /root-of-image/var/lib/dpkg/status.d /image/debian
COPY --from=dependencies /image/npm.spdx.json /image/
COPY . .
RUN --mount=type=cache,target=/root/.npm \
    node image/place-program.mjs /root-of-image && node image/inventory.mjs "$TARGETARCH" /root-of-image

FROM scratch
# What changes least comes first: nodes keep it from version to version.
COPY --from=debian /root-of-image /
COPY --from=dependencies /root-of-image /
COPY --from=program /root-of-image /
ENV PATH=/usr/local/bin:/usr/bin:/bin
USER 65532:65532
WORKDIR /var/lib/wharfinger
ENTRYPOINT ["wharfinger"]
ARG VERSION=""
# The commit it was built of.
ARG REVISION=""
LABEL org.opencontainers.image.title="Wharfinger" \
      org.opencontainers.image.description="A GitOps-configured container registry" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
