// The producer in WORKERS processes that share its port, by Node's own module for that.
import cluster from 'node:cluster';
import { fileURLToPath } from 'node:url';

cluster.setupPrimary({ exec: fileURLToPath(new URL('producer.js', import.meta.url)) });
for (let worker = 0; worker < Number(process.env.WORKERS ?? 2); worker += 1) cluster.fork();

process.on('SIGTERM', () => {
  for (const worker of Object.values(cluster.workers)) worker.process.kill('SIGTERM');
});
cluster.on('exit', () => {
  if (Object.keys(cluster.workers).length === 0) process.exit(0);
});
