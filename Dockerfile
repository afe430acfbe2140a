# A Longwatch worker (and, with another command, any verb of the command line). Built by docker-compose.yml; a project of
# your own copies its config in, or mounts it, and names it in the command.
FROM node:24.22.0-bookworm-slim AS build
WORKDIR /app
# The manifests first, so that a change of the sources does not install again. Scripts would build what is not here yet.
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM node:24.22.0-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/bin ./bin
COPY --from=build /app/db ./db
COPY --from=build /app/dist ./dist
COPY --from=build /app/examples ./examples
RUN ln -s /app/bin/longwatch.js /usr/local/bin/longwatch
USER node
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9464/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["longwatch", "worker", "--config", "examples/eve/longwatch.config.ts", "--metrics-host", "0.0.0.0", "--metrics-port", "9464"]
