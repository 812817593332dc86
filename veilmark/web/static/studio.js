// What pages do with script: dropping files, progress of a job, sliders. Every page works without it.
for (const drop of document.querySelectorAll("[data-drop]")) {
  const input = drop.querySelector("input[type=file]");
  const chosen = drop.querySelector("[data-chosen]");
  const list = () => {
    chosen.replaceChildren(...[...input.files].slice(0, 12).map((file) => {
      const line = document.createElement("li");
      line.textContent = `${file.name} (${size(file.size)})`;
      return line;
    }));
    if (input.files.length > 12) {
      const more = document.createElement("li");
      more.textContent = `and ${input.files.length - 12} more`;
      chosen.append(more);
    }
    drop.classList.toggle("filled", input.files.length > 0);
  };
  input.addEventListener("change", list);
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const name of ["dragleave", "drop"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.remove("over"); });
  }
  drop.addEventListener("drop", (event) => {
    const given = new DataTransfer();
    for (const file of event.dataTransfer.files) {
      if (input.multiple || given.files.length === 0) given.items.add(file);
    }
    if (given.files.length) { input.files = given.files; list(); }
  });
  list();
}

for (const form of document.querySelectorAll("[data-upload]")) {
  form.addEventListener("submit", () => {
    form.querySelector("button:not([type=button])")?.setAttribute("aria-busy", "true");
  });
}
addEventListener("pageshow", () => {
  for (const one of document.querySelectorAll("[aria-busy=true]")) one.removeAttribute("aria-busy");
});

// A job's page: server-sent events; where they do not come, htmx asks every two seconds.
const job = document.querySelector("[data-job]");
if (job) {
  const events = new EventSource(`${job.dataset.job}/events`);
  events.addEventListener("job", (event) => {
    const about = JSON.parse(event.data);
    if (["done", "failed", "cancelled"].includes(about.state)) { events.close(); location.reload(); return; }
    const bar = job.querySelector("progress");
    const note = job.querySelector("[data-note]");
    if (note) note.textContent = about.note;
    if (about.state === "running") {
      bar.value = about.progress;
      job.querySelector("#job-state p").textContent = about.words || "Working";
    }
  });
  events.addEventListener("error", () => events.close());
}

// Faces in a picture: a click chooses, as the boxes beside it do.
for (const face of document.querySelectorAll("[data-face]")) {
  const box = document.getElementById(face.dataset.face);
  const show = () => face.classList.toggle("on", box.checked);
  face.addEventListener("click", () => { box.checked = !box.checked; show(); });
  box.addEventListener("change", show);
  show();
}

// Two pictures over each other, with a handle between them.
for (const slider of document.querySelectorAll("[data-compare]")) {
  const handle = slider.querySelector("input[type=range]");
  const move = () => slider.style.setProperty("--share", `${handle.value}%`);
  handle.addEventListener("input", move);
  move();
}

function size(bytes) {
  return bytes >= 1048576 ? `${(bytes / 1048576).toFixed(1)} MB` : `${Math.max(1, Math.round(bytes / 1024))} kB`;
}
