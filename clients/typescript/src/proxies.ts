/** Proxies for https, as `HTTPS_PROXY` and `NO_PROXY` name them: a tunnel by CONNECT (RFC 9110, 9.3.6). */

import * as http from 'node:http';
import * as https from 'node:https';
import type { Duplex } from 'node:stream';
import * as tls from 'node:tls';

type Connected = (error: Error | null, stream: Duplex) => void;

/** Return the proxy for a host, if there is one. Hosts of `NO_PROXY` are ends of names, `*` is all of them. */
export function proxyFor(host: string, environ: NodeJS.ProcessEnv = process.env): URL | undefined {
  const named = environ['https_proxy'] || environ['HTTPS_PROXY'];
  if (!named || /^(localhost|127\.|::1$)/.test(host)) return undefined;
  const none = (environ['no_proxy'] || environ['NO_PROXY'] || '').split(/[\s,]+/).filter(Boolean);
  const spared = none.some((one) => {
    const end = one.replace(/^\*?\./, '').replace(/:\d+$/, '').toLowerCase();
    return one === '*' || host.toLowerCase() === end || host.toLowerCase().endsWith(`.${end}`);
  });
  if (spared) return undefined;
  try {
    return new URL(named.includes('://') ? named : `http://${named}`);
  } catch {
    return undefined;
  }
}

/** An agent whose connections go through a proxy's tunnel. The proxy sees the host's name, and nothing else. */
export class TunnelAgent extends https.Agent {
  constructor(
    private readonly proxy: URL,
    options: https.AgentOptions,
  ) {
    super(options);
  }

  override createConnection(options: https.RequestOptions, done?: Connected): undefined {
    const callback = done!; // Node's agents always give one
    const target = `${options.host!.includes(':') ? `[${options.host}]` : options.host}:${options.port}`;
    const { protocol, hostname, port, username, password } = this.proxy;
    const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    const proof = username ? { 'Proxy-Authorization': `Basic ${Buffer.from(pair).toString('base64')}` } : {};
    const request = (protocol === 'https:' ? https : http).request({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: port || (protocol === 'https:' ? 443 : 80),
      method: 'CONNECT',
      path: target,
      headers: { Host: target, ...proof },
      timeout: 30_000,
    });
    const failed = (error: Error): void => callback(error, undefined as unknown as Duplex);
    request.on('connect', (response, socket) => {
      if (response.statusCode === 200) {
        callback(null, tls.connect({ ...(options as tls.ConnectionOptions), socket }));
        return;
      }
      socket.destroy();
      failed(Object.assign(new Error('refused'), { code: `proxy answers ${response.statusCode}` }));
    });
    request.on('timeout', () => request.destroy(Object.assign(new Error('slow'), { code: 'ETIMEDOUT' })));
    request.on('error', failed);
    request.end();
    return undefined;
  }
}
