// What the page asks of the server, and what it says where that fails.

const error = document.getElementById("error");

export const show = (message) => { error.textContent = message; };

// The answer to a question, whose errors are lines for people.
async function fetched(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer; is jaxvae explore still running?");
  }
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({ error: `${response.status} ${response.statusText}` }));
  throw new Error(error);
}

export const load = async () => (await fetched("api/model")).json();

export const ask = (name, content) => fetched(`api/${name}`, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(content),
});

// Runs a task, and shows what went wrong with it.
export async function attempt(task) {
  try {
    await task();
    show("");
  } catch (error) {
    show(error.message);
  }
}

// A function that runs a task with one call in flight at most; calls in the meantime become one more at its end.
export function latest(task) {
  let isBusy = false;
  let isWanted = false;
  return async () => {
    isWanted = true;
    if (isBusy) return;
    isBusy = true;
    while (isWanted) {
      isWanted = false;
      await attempt(task);
    }
    isBusy = false;
  };
}
