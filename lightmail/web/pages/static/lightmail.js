// What JavaScript adds: buttons that copy, progress that moves. Every page does its work without.
"use strict";

// On a phone the menu is one line that scrolls: the page that is shown is not to be looked for in it.
for (const current of document.querySelectorAll(".top nav [aria-current], .tabs [aria-current]")) {
  const line = current.closest("nav"), box = line.getBoundingClientRect(), its = current.getBoundingClientRect();
  line.scrollLeft += its.left - box.left - (box.width - its.width) / 2;
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) break; // not on a page without TLS
  button.hidden = false;
  button.addEventListener("click", async () => {
    const words = button.firstChild;
    await navigator.clipboard.writeText(button.dataset.copy);
    words.data = "Copied";
    setTimeout(() => { words.data = "Copy"; }, 1500);
  });
}

// What is still going on is read anew in its place; when it has ended, the whole page is.
const live = document.querySelector("[data-live]");

async function follow() {
  let wait = 10000;
  try {
    const answer = await fetch(location.href);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("[data-live]");
    if (answer.ok && !fresh) return location.reload();
    if (answer.ok) {
      live.replaceChildren(...fresh.childNodes);
      wait = 3000;
    }
  } catch {} // the server does not answer just now: it is asked again
  setTimeout(follow, wait);
}

if (live) setTimeout(follow, 3000);

// A choice among days becomes a slider over them; the choice itself stays, and is what is sent.
for (const select of document.querySelectorAll("select[data-slider]")) {
  const slider = document.createElement("input");
  const said = document.createElement("output");
  slider.type = "range";
  slider.id = said.htmlFor = `${select.id}-slider`;
  slider.max = select.options.length - 1;
  slider.value = select.selectedIndex;
  const show = () => {
    select.selectedIndex = slider.value;
    said.value = select.selectedOptions[0].text;
    slider.setAttribute("aria-valuetext", said.value);
  };
  slider.addEventListener("input", show);
  select.labels[0].htmlFor = slider.id;
  select.hidden = true;
  select.after(slider, said);
  select.parentElement.classList.add("slider");
  show();
}
