# mdvi with planning, learning, pictures and Gymnasium, on Debian 12:
#   docker build -t mdvi . && docker run --rm -v "$PWD:/work" mdvi solve gym:FrozenLake-v1 --plot lake.png
FROM python:3.11-slim-bookworm
COPY pyproject.toml constraints.txt README.md LICENSE checker.py /src/
COPY src /src/src
COPY studies /src/studies
RUN python -m pip install --no-cache-dir --constraint /src/constraints.txt '/src[learn,plots,envs]'
RUN useradd --create-home mdvi && mkdir /work && chown mdvi /work
USER mdvi
WORKDIR /work
ENTRYPOINT ["mdvi"]
CMD ["--help"]
