/**
 * Finds the fault in the TLS of a Temporal that could not be connected to. The SDK says of all of it only that there
 * was no connection in time, so the address is tried once more, by TLS alone. Asked where a first connection has
 * failed, by client and worker.
 */
import { isIP } from 'node:net';
import { connect, type ConnectionOptions } from 'node:tls';
import type { TemporalTarget } from './environment';
import { EnvironmentError } from './errors';

const LOOK_MS = 3_000;

/** @returns the same failure, or what it was where that is TLS. */
export async function withTlsProblem(error: unknown, target: TemporalTarget): Promise<unknown> {
  const problem = await temporalTlsProblem(target).catch(() => undefined);
  if (problem === undefined) return error;
  return new EnvironmentError(`Temporal at ${target.address} cannot be used: ${problem}`, { usage: false });
}

/**
 * @returns one line that says what to do; undefined where it is something else, such as a server that does not answer.
 */
export async function temporalTlsProblem({ address, tls, apiKey }: TemporalTarget): Promise<string | undefined> {
  const { hostname, port } = new URL(`tcp://${address}`);
  const host = hostname.replace(/^\[(.+)\]$/, '$1');
  const settings = typeof tls === 'object' ? tls : {};
  const asked = Boolean(tls ?? apiKey !== undefined);
  const name = settings.serverNameOverride ?? host;
  const outcome = await handshake({
    host,
    port: Number(port || 7233),
    ALPNProtocols: ['h2'],
    ...(isIP(name) ? {} : { servername: name }),
    ...(asked ? trust(settings) : { rejectUnauthorized: false }),
  });
  if (!asked) return outcome === undefined || outcome.code === CLIENT_CERTIFICATE ? SPEAKS_TLS : undefined;
  return outcome && say(outcome);
}

function trust(settings: Exclude<TemporalTarget['tls'], boolean | undefined>): ConnectionOptions {
  const { serverRootCACertificate: ca, clientCertPair } = settings;
  return {
    ...(ca ? { ca: Buffer.from(ca) } : {}),
    ...(clientCertPair ? { cert: Buffer.from(clientCertPair.crt), key: Buffer.from(clientCertPair.key) } : {}),
  };
}

interface Outcome {
  code: string;
  message: string;
}

const CLIENT_CERTIFICATE = 'client certificate';
const SPEAKS_TLS =
  'it speaks TLS, which is not asked for: set TEMPORAL_TLS=true (and TEMPORAL_TLS_… for its certificates), or give tls';

/**
 * @returns undefined where it succeeds. A server that wants a client's certificate says so only after the handshake.
 */
function handshake(options: ConnectionOptions): Promise<Outcome | undefined> {
  return new Promise((resolve) => {
    const socket = connect(options);
    let secure = false;
    const end = (outcome: Outcome | undefined): void => {
      socket.destroy();
      // A server that hangs up at this point does not accept who we are.
      resolve(outcome && secure ? { ...outcome, code: CLIENT_CERTIFICATE } : outcome);
    };
    socket.setTimeout(LOOK_MS, () => end(secure ? undefined : SILENT));
    // HTTP/2's first words: a server that has taken the connection answers them.
    socket.once('secureConnect', () => {
      secure = true;
      socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1');
    });
    socket.once('data', () => end(undefined));
    socket.once('error', ({ code = '', message }: NodeJS.ErrnoException) =>
      end({ code: sorted(code, message), message }),
    );
    socket.once('close', () => end({ code: 'closed', message: '' }));
  });
}

const SILENT: Outcome = { code: 'silent', message: '' };

function sorted(code: string, message: string): string {
  if (
    /certificate required|CERTIFICATE_REQUIRED|handshake failure|HANDSHAKE_FAILURE|bad certificate|unknown ca|alert/i.test(
      `${code} ${message}`,
    )
  ) {
    return /wrong version|WRONG_VERSION/i.test(`${code} ${message}`) ? 'plain' : CLIENT_CERTIFICATE;
  }
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH|wrong version number|EPROTO/.test(`${code} ${message}`)) return 'plain';
  return code;
}

function say({ code, message }: Outcome): string | undefined {
  if (code === CLIENT_CERTIFICATE) {
    return 'it hangs up on this client: it does not take its certificate, or wants one: TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH, or tls.clientCertPair';
  }
  // A server without TLS takes the first bytes for HTTP/2 and hangs up.
  if (code === 'plain' || code === 'ECONNRESET' || code === 'closed') {
    return 'it speaks no TLS, or not with this client; without TLS set TEMPORAL_TLS=false, or give tls: false';
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return 'its certificate is for another host name: TEMPORAL_TLS_SERVER_NAME, or tls.serverNameOverride, says which it is';
  }
  if (code === 'CERT_HAS_EXPIRED') return 'its certificate has expired';
  if (/CERT|ISSUER|SIGNATURE/.test(code)) {
    return "its certificate is not signed by an authority that is known here: TEMPORAL_TLS_SERVER_CA_CERT_PATH, or tls.serverRootCACertificate, names the server's";
  }
  if (/PEM|KEY|ASN1|OSSL/i.test(`${code} ${message}`)) return "this client's certificate or key cannot be read";
  return undefined;
}
