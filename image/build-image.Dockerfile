# In place of BUILD_IMAGE of Dockerfile (build-image.mjs).
FROM scratch
ADD debian.tar /
COPY added /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    NODE_EXTRA_CA_CERTS=/usr/local/share/authorities.crt
