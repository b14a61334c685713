# Image of the server: no TensorFlow, no pip, no compiler. Build it from the repository's root:
#   docker build --file deploy/serving.Dockerfile --tag mnist-digits/serving:0.1.0 .
# PYTHON_IMAGE: any image with Python 3.11 or newer and its venv module. docs/containers.md builds one offline.
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS packages
# Pip has an environment of its own, /opt/pip, which stays behind: /opt/venv holds the server's packages alone.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/venv
# --build-arg SIGNING=yes adds the 32 packages that --model-public-key needs.
ARG SIGNING=
# --build-arg TRACES=yes adds the 13 packages that --traces needs.
ARG TRACES=
COPY requirements/serving.txt requirements/signing.txt requirements/traces.txt /tmp/
# Behind a private authority: --build-arg CA_CERTIFICATES="$(cat ca.pem)". Of pip's settings PIP_INDEX_URL alone.
ARG CA_CERTIFICATES=
ARG PIP_INDEX_URL=
# wheels.txt lists which of the locked hashes was installed, for deploy/sbom.py: installed packages do not record it.
RUN if [ -n "${CA_CERTIFICATES}" ]; then printf '%s\n' "${CA_CERTIFICATES}" > /tmp/ca.pem; export PIP_CERT=/tmp/ca.pem; fi \
    && /opt/pip/bin/pip --python /opt/venv/bin/python install --report /tmp/report.json \
        --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes \
        -r /tmp/serving.txt ${SIGNING:+-r /tmp/signing.txt} ${TRACES:+-r /tmp/traces.txt} \
    && python3 -c "import json; [print(p['metadata']['name'], p['download_info']['archive_info']['hash']) for p in json.load(open('/tmp/report.json'))['install']]" > /opt/venv/wheels.txt
# --build-arg GPU=yes puts ONNX Runtime for NVIDIA cards, and the libraries that it opens, in place of that for CPUs.
ARG GPU=
COPY requirements/gpu.txt /tmp/
RUN if [ -s /tmp/ca.pem ]; then export PIP_CERT=/tmp/ca.pem; fi; \
    if [ -n "${GPU}" ]; then \
        /opt/pip/bin/pip --python /opt/venv/bin/python uninstall --yes onnxruntime \
        && /opt/pip/bin/pip --python /opt/venv/bin/python install \
            --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes -r /tmp/gpu.txt; \
    fi \
    && find /opt/venv/lib -type d -name tests -prune -exec rm -rf {} +

FROM ${PYTHON_IMAGE} AS application
COPY protos/ /app/protos/
COPY serving/ /app/serving/
# The client, to try the server from inside: docker compose exec serving python -m mnist_digits classify --help
COPY client/mnist_digits/ /app/mnist_digits/
COPY models/ /app/models/
# Once more where no volume hides them: the server says which of them the volume lacks.
COPY models/ /app/shipped-models/
# Folders for volumes belong to the user who writes there: Docker gives an empty volume the owner of its mount point.
# Compiled here: on a read-only root file system Python would compile everything at each start. The training job runs as
# the same user and can write to a volume that is first filled with these models.
RUN python3 -m compileall -q /app && mkdir --mode 700 /app/feedback && chown -R 10001:10001 /app/models /app/feedback

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mnist-digits serving" \
      org.opencontainers.image.description="Classifies handwritten digits over gRPC" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# ONNX Runtime sends usage data to its maker unless this is set before it is loaded (microsoft/onnxruntime#27379).
ENV ORT_DISABLE_TELEMETRY=1
ENV PATH="/opt/venv/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MNIST_HOST=0.0.0.0 \
    MNIST_GRPC_PORT=50051 \
    MNIST_HTTP_PORT=8080 \
    MNIST_LOG_FORMAT=json \
    MNIST_SHIPPED_MODELS=/app/shipped-models \
    MNIST_BUILD_REVISION="${REVISION}"
WORKDIR /app
USER 10001:10001
EXPOSE 50051 8080
STOPSIGNAL SIGTERM
# http.client, since urllib would use a proxy where http_proxy is set. -I and -S make Python start faster.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python3", "-I", "-S", "-c", "import http.client, os, sys; server = http.client.HTTPConnection('127.0.0.1', int(os.environ['MNIST_HTTP_PORT']), timeout=2); server.request('GET', '/readyz'); sys.exit(server.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "serving"]
COPY --from=packages /opt/venv /opt/venv
COPY --from=application /app /app
