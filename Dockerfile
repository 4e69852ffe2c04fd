# LightMail as an image: docker build --tag lightmail .
# What runs in it is configured by etc/container.ini and the environment (docs/install.md, "Containers").
FROM python:3.11-slim-bookworm AS build
WORKDIR /usr/src/lightmail
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY lightmail lightmail
COPY sql sql
COPY twisted twisted
RUN python3 -m venv /opt/lightmail \
    && /opt/lightmail/bin/pip install --no-cache-dir . \
    && /opt/lightmail/bin/python -c 'from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))'

FROM python:3.11-slim-bookworm
RUN groupadd --system --gid 800 lightmail \
    && useradd --system --uid 800 --gid lightmail --home-dir /var/lib/lightmail --shell /usr/sbin/nologin lightmail \
    && install -d -m 750 -o lightmail -g lightmail /var/lib/lightmail
COPY --from=build /opt/lightmail /opt/lightmail
COPY etc/container.ini /etc/lightmail/config.ini
ENV PATH=/opt/lightmail/bin:/usr/local/bin:/usr/bin:/bin
USER lightmail
WORKDIR /var/lib/lightmail
# Spooled messages, the cache of objects; nothing that must be kept.
VOLUME /var/lib/lightmail
# IMAP, IMAPS, POP3, POP3S, LMTP, HTTP
EXPOSE 1143 1993 1110 1995 1024 8080
# Connections are drained for up to 30 s: give `docker stop --time 60`.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health', timeout=4)"]
CMD ["twistd", "--nodaemon", "--pidfile=", "lightmail"]
