// A service worker that adds the headers which isolate a page from other origins, so that WebAssembly may use threads.
// Plain hosting does not send these headers.

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
  const { request } = event;
  if (new URL(request.url).origin !== location.origin || request.cache === "only-if-cached") return;
  event.respondWith(
    fetch(request).then((answer) => {
      if (answer.status === 0) return answer;
      const headers = new Headers(answer.headers);
      headers.set("Cross-Origin-Opener-Policy", "same-origin");
      headers.set("Cross-Origin-Embedder-Policy", "require-corp");
      return new Response(answer.body, { status: answer.status, statusText: answer.statusText, headers });
    }),
  );
});
