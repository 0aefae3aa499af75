"use strict";

async function ask(method, path, body, headers) {
  const response = await fetch(path, { method, body, headers });
  if (response.ok) return response.status === 204 ? null : response.json();
  const answer = await response.json().catch(() => ({}));
  throw new Error(answer.error || `The service answered ${response.status}.`);
}

const form = document.getElementById("new");
const message = form.querySelector("output");

async function attempt(work) {
  try {
    await work();
    location.reload();
  } catch (error) {
    message.textContent = error.message;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const text = JSON.stringify({ body: form.elements.body.value });
    const note = await ask("POST", "/api/notes", text, { "content-type": "application/json" });
    const file = document.getElementById("file").files[0];
    if (file) {
      const name = encodeURIComponent(file.name);
      await ask("POST", `/api/notes/${note.id}/attachments?name=${name}`, file);
    }
  });
});

document.querySelector("ul").addEventListener("click", (event) => {
  const id = event.target.dataset.delete;
  if (id) attempt(() => ask("DELETE", `/api/notes/${id}`));
});
