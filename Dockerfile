# The page and the API on the runs in a mounted folder:
#
#   docker build -t eager-examples .
#   docker run --rm -p 127.0.0.1:7860:7860 -v "$PWD/runs:/runs:ro" eager-examples
#
# Runs are made by `train`, outside or with --entrypoint python. The process is an ordinary user's and writes to /tmp alone.
FROM python:3.11-slim

RUN useradd --create-home --uid 10001 server
WORKDIR /app
COPY requirements.txt requirements-serve.txt requirements-page.txt ./
RUN pip install --no-cache-dir -r requirements-page.txt
COPY common common
COPY examples examples

USER server
ENV PYTHONDONTWRITEBYTECODE=1
EXPOSE 7860
HEALTHCHECK CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/healthz', timeout=3)"]
ENTRYPOINT ["python", "-m", "examples", "serve", "--runs", "/runs", "--host", "0.0.0.0"]
