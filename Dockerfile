# The operator's image, for who has a container builder: `docker build -t kuberay/operator:nightly .`
# `python -m hack.image operator` makes the same without one (hack/image/README.md).
#
# Debian 12's Python 3.11 in both stages: byte code is made for the interpreter that runs it.

FROM debian:12-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-pip && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY requirements/operator.txt .
RUN python3 -m pip install --no-compile --require-hashes --only-binary=:all: --target /opt/manta -r operator.txt \
 && rm -rf /opt/manta/bin
COPY api /opt/manta/api
COPY controller /opt/manta/controller
COPY webhooks /opt/manta/webhooks
COPY hack/image/manager /manager
# Byte code is believed without a look at its source: nothing is ever compiled, or written, at run time. Everybody may
# read all of it, whatever the umask of the clone was.
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/manta \
 && chmod -R a+rX /opt/manta && chmod 755 /manager

# Python and what it needs: no shell, no package manager, no compiler.
FROM gcr.io/distroless/python3-debian12:nonroot
COPY --from=build /opt/manta /opt/manta
COPY --from=build /manager /manager
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/manager"]
