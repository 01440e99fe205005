// What the page does by itself: keys, copying, uploading, and noticing that the server is gone.
(() => {
  const KEYS = ["A", "Shift+A", "X", "F", "J", "Shift+J", "U", "E", "N", "Shift+N", "Shift+Z"]; // as on the desktop; never one of the editor's
  const ticket = new URLSearchParams(location.search).get("ticket");
  const say = (name, ...said) => window.trame.trigger(name, said);
  const typed = (element) =>
    element && (element.isContentEditable || /^(input|textarea|select)$/i.test(element.tagName)) &&
    !/^(checkbox|radio|range|button|file)$/.test(element.type || "");

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || typed(document.activeElement)) return;
    const key = (event.shiftKey ? "Shift+" : "") + event.key.toUpperCase();
    if (KEYS.includes(key)) {
      event.preventDefault();
      say("semisupseg_key", key);
    }
  });

  document.addEventListener("click", async (event) => {
    if (event.target.closest("[data-copy-diagnostics]")) {
      const text = window.trame.state.get("diagnostics");
      try {
        await navigator.clipboard.writeText(text);
        say("semisupseg_copied", true);
      } catch {
        say("semisupseg_copied", false);
      }
    }
    const upload = event.target.closest("[data-upload]");
    if (upload && !upload.disabled) choose(upload.dataset.upload === "folder");
  });

  function choose(folder) {
    const input = document.createElement("input");
    input.type = "file";
    input.multiple = true;
    input.webkitdirectory = folder;
    input.dataset.chooser = folder ? "folder" : "files";
    input.style.display = "none";
    input.onchange = () => send([...input.files]).finally(() => input.remove());
    document.body.append(input);
    input.click();
  }

  async function send(files) {
    const begun = await fetch("/upload", { method: "POST" });
    if (!begun.ok) return say("semisupseg_upload_failed", await begun.text());
    const { batch } = await begun.json();
    for (const [number, file] of files.entries()) {
      window.trame.state.set("uploading", `${number + 1} of ${files.length}: ${file.name}`);
      const where = `/upload/${batch}?name=` + encodeURIComponent(file.webkitRelativePath || file.name);
      const answer = await fetch(where, { method: "PUT", body: file });
      if (!answer.ok) {
        window.trame.state.set("uploading", "");
        return say("semisupseg_upload_failed", await answer.text());
      }
    }
    window.trame.state.set("uploading", "");
    return say("semisupseg_uploaded", batch);
  }

  // A page that lost its server must say so, not look alive.
  const timer = setInterval(async () => {
    let sentence = "";
    try {
      const said = await (await fetch("/seat?ticket=" + ticket)).json();
      if (!said.mine) sentence = "SemiSupSeg was opened in another tab. Load this page again to work here.";
    } catch {
      sentence = "The server has stopped. What you painted is stored: start semisupseg app again and open its address.";
    }
    if (!sentence) return;
    clearInterval(timer);
    const cover = document.createElement("div");
    cover.id = "gone";
    cover.setAttribute("role", "alert");
    cover.textContent = sentence;
    document.body.append(cover);
  }, 2000);
})();
