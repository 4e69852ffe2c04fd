// What JavaScript adds: buttons that copy. Every page does its work without.
"use strict";

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
