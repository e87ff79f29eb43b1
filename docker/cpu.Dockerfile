# A worker on CPUs. Build from the repository: docker build -f docker/cpu.Dockerfile -t genmat-worker-cpu:0.1.0 .
FROM python:3.12.12-slim-bookworm

RUN python3 -m venv /opt/genmat
WORKDIR /opt/source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY genmat ./genmat
COPY workflows ./workflows
RUN /opt/genmat/bin/pip install --no-cache-dir --constraint constraints.txt .

RUN useradd --create-home --uid 1000 genmat
USER genmat
WORKDIR /home/genmat
ENV OMP_NUM_THREADS=1
ENTRYPOINT ["/opt/genmat/bin/genmat"]
CMD ["work"]
