# Swath for CPUs.  Build and run:
#   docker build -t swath .
#   docker run --rm -v "$PWD:/work" swath demo --steps 5
FROM python:3.13-slim-bookworm

# An index with builds of torch for CPUs keeps gigabytes of CUDA packages out of the image.
ARG PIP_EXTRA_INDEX_URL=

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN python -m pip install --no-cache-dir --constraint constraints.txt ".[demo]" && python -m pip check

RUN useradd --create-home swath && mkdir /work && chown swath /work
USER swath
WORKDIR /work
ENTRYPOINT ["swath"]
CMD ["--help"]
