"use strict";
// Dark or light: as the system says, until the button says otherwise.
const root = document.documentElement;
const button = document.querySelector("header button");
const dark = () => root.dataset.theme
  ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
const name = () => { button.textContent = dark() ? "Light" : "Dark"; };
button.hidden = false;
button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; name(); });
name();
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));

// A stack of slabs: the raw image in grey, and over it what reaches the threshold.
const COLOURS = { probability: [255, 140, 0], found: [86, 180, 233], missed: [240, 228, 66], false: [213, 94, 0] };

const pixels = (url) => new Promise((done) => {
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement("canvas");
    canvas.width = image.width; canvas.height = image.height;
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.drawImage(image, 0, 0);
    done(pen.getImageData(0, 0, image.width, image.height).data);
  };
  image.src = url;
});

const paint = (out, parts, threshold, shown) => {
  for (let i = 0; i < out.length; i += 4) {
    const score = parts.score ? parts.score[i] / 255 : 0;
    const lit = shown && parts.score && score >= threshold;
    const truth = shown && parts.truth ? parts.truth[i] : 0;  // 255 neurite, 128 ignored
    let colour = null;
    if (parts.truth && truth !== 128) {
      colour = lit ? (truth ? COLOURS.found : COLOURS.false) : (truth ? COLOURS.missed : null);
    } else if (lit && !parts.truth) colour = COLOURS.probability;
    const grey = parts.grey ? parts.grey[i] * (colour ? 0.55 : 0.9) : 0;
    for (let k = 0; k < 3; k += 1) out[i + k] = colour ? grey + colour[k] * (1 - grey / 255) * 0.8 : grey;
    if (shown && parts.over && parts.over[i + 3] > 127) for (let k = 0; k < 3; k += 1) out[i + k] = parts.over[i + k];
    out[i + 3] = 255;
  }
};

for (const figure of document.querySelectorAll("figure.stack")) {
  const slabs = JSON.parse(figure.querySelector("script").textContent);
  const canvas = figure.querySelector("canvas"), pen = canvas.getContext("2d");
  const [planes, threshold, over] = ["planes", "threshold", "over"].map((part) => figure.querySelector(`[name=${part}]`));
  let kept = null, parts = {};  // the slab whose pictures are decoded
  const draw = async () => {
    const slab = slabs[planes ? Number(planes.value) : 0];
    if (slab !== kept) {
      const loaded = await Promise.all(["grey", "score", "truth", "over"].map(
        async (part) => [part, slab[part] ? await pixels(slab[part]) : null]));
      if (slab !== slabs[planes ? Number(planes.value) : 0]) return;  // the slider has moved on
      [kept, parts] = [slab, Object.fromEntries(loaded)];
    }
    const frame = pen.createImageData(canvas.width, canvas.height);
    paint(frame.data, parts, threshold ? Number(threshold.value) : 0, !over || over.checked);
    pen.putImageData(frame, 0, 0);
    if (planes) planes.nextElementSibling.value = slab.planes;
    if (threshold) threshold.nextElementSibling.value = Number(threshold.value).toFixed(2);
  };
  figure.querySelectorAll("input").forEach((input) => input.addEventListener("input", draw));
  figure.hidden = false;
  draw();
}
