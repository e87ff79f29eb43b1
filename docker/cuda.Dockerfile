# A worker on GPUs; the torch of PyPI brings its own CUDA libraries, the driver comes from the host. Build from the repository: docker build -f docker/cuda.Dockerfile -t genmat-worker-cuda:0.1.0 .
FROM nvidia/cuda:12.8.1-runtime-ubuntu24.04

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv python3-dev build-essential \
    && rm -rf /var/lib/apt/lists/*

RUN python3 -m venv /opt/genmat
WORKDIR /opt/source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY genmat ./genmat
COPY workflows ./workflows
RUN /opt/genmat/bin/pip install --no-cache-dir --constraint constraints.txt .

RUN userdel --remove ubuntu && useradd --create-home --uid 1000 genmat
USER genmat
WORKDIR /home/genmat
ENV OMP_NUM_THREADS=1
ENTRYPOINT ["/opt/genmat/bin/genmat"]
CMD ["work"]
