/** REST calls of tests: any method, any body, no opinion about the answer. */

export interface RestResponse<Body> {
  readonly status: number;
  readonly headers: Headers;
  /** parsed if it is JSON, else the text */
  readonly body: Body;
}

export interface RestCall {
  readonly method: string;
  readonly url: string;
  readonly token: string;
  /** sent as JSON */
  readonly body?: unknown;
  /** may replace what is sent by itself, the token included */
  readonly headers?: Readonly<Record<string, string>>;
}

const TIMEOUT_MS = 120_000;

/** @throws TypeError if there is no answer, as fetch does */
export async function callRest<Body>({
  method,
  url,
  token,
  body,
  headers = {},
}: RestCall): Promise<RestResponse<Body>> {
  const hasBody = body !== undefined;
  const response = await fetch(url, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(hasBody && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(hasBody && { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const text = await response.text();
  const isJson = /[/+]json\b/.test(response.headers.get('content-type') ?? '') && text !== '';
  return { status: response.status, headers: response.headers, body: (isJson ? JSON.parse(text) : text) as Body };
}
