// Runs the encoder and the decoder with ONNX Runtime Web, which is in the page.
"use strict";

// Returns the bytes of a base64 text.
function decodeBase64(text) {
  const binary = atob(text), bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

// Returns the bytes that a base64 text contains in a form compressed with gzip.
async function inflate(text) {
  const stream = new Blob([decodeBase64(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Returns the float32 numbers of a compressed text.
async function inflateNumbers(text) {
  return new Float32Array((await inflate(text)).buffer);
}

// Prepares ONNX Runtime. The URL names data in the memory of the page, so that nothing is requested from a network.
async function loadRuntime() {
  const element = document.querySelector("#runtime"), binary = await inflate(element.textContent);
  element.remove();
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.proxy = false;
  ort.env.wasm.wasmPaths = { "ort-wasm-simd.wasm": URL.createObjectURL(new Blob([binary], { type: "application/wasm" })) };
}

// A network with a first input (images or codes), the optional labels `y`, and one output. Calls are executed in order.
class Network {
  constructor(session, shape) {
    this.session = session;
    this.shape = shape;
    this.last = Promise.resolve();
  }

  // `shape` is the shape of one input, without the batch.
  static async load(text, shape) {
    return new Network(await ort.InferenceSession.create(await inflate(text), { executionProviders: ["wasm"] }), shape);
  }

  // Returns the output for one input and its label: a class index, an array of attributes, or null.
  run(values, label) {
    const call = this.last.then(async () => {
      const [input] = this.session.inputNames, [output] = this.session.outputNames;
      const inputs = { [input]: new ort.Tensor("float32", values, [1, ...this.shape]) };
      if (Array.isArray(label)) inputs.y = new ort.Tensor("float32", Float32Array.from(label), [1, label.length]);
      else if (label !== null) inputs.y = new ort.Tensor("int64", BigInt64Array.of(BigInt(label)), [1]);
      return (await this.session.run(inputs))[output].data;
    });
    this.last = call.catch(() => {});
    return call;
  }
}

// Draws a flat image (C, H, W) with values in [0, 1] on a canvas.
function drawImage(canvas, values, [channels, height, width]) {
  canvas.width = width;
  canvas.height = height;
  const pixels = new ImageData(width, height), size = width * height;
  for (let i = 0; i < size; i++) {
    for (let channel = 0; channel < 3; channel++) {
      // The array of an ImageData rounds its values and limits them to [0, 255].
      pixels.data[4 * i + channel] = 255 * values[channels === 1 ? i : channel * size + i];
    }
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

// Returns the mean color of the outermost pixels of a picture, on a white background if it is transparent.
function meanEdgeColor(bitmap) {
  const { width, height } = bitmap, sum = [0, 0, 0];
  const context = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  const edges = [[0, 0, width, 1], [0, height - 1, width, 1], [0, 0, 1, height], [width - 1, 0, 1, height]];
  const pixels = edges.map((edge) => context.getImageData(...edge).data);
  pixels.forEach((data) => data.forEach((value, i) => { if (i % 4 < 3) sum[i % 4] += value; }));
  return `rgb(${sum.map((value) => Math.round(value / (2 * (width + height)))).join(", ")})`;
}

// Returns a picture file as a flat image (C, H, W) with values in [0, 1], on a white background if it is transparent.
// `fit` is `crop`, `pad` or `stretch`, as for the images of the training. A picture of size (H, W) keeps its pixels.
// With `photoCrop`, [size, side], pictures of size (size, size) are first cropped to the central square, as in training.
async function readPicture(file, { shape: [channels, height, width], fit, photoCrop }, invert) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d", { willReadFrequently: true });
  canvas.width = width;
  canvas.height = height;
  context.imageSmoothingQuality = "high";
  const isPhoto = photoCrop && bitmap.width === photoCrop[0] && bitmap.height === photoCrop[0];
  const [sourceWidth, sourceHeight] = isPhoto ? [photoCrop[1], photoCrop[1]] : [bitmap.width, bitmap.height];
  const left = Math.floor((bitmap.width - sourceWidth) / 2), top = Math.floor((bitmap.height - sourceHeight) / 2);
  const scales = [width / sourceWidth, height / sourceHeight];
  const scale = fit === "pad" ? Math.min(...scales) : Math.max(...scales);
  const [w, h] = fit === "stretch" ? [width, height] : [sourceWidth, sourceHeight].map((side) => Math.round(side * scale));
  const x = Math.floor((width - w) / 2), y = Math.floor((height - h) / 2);
  if (fit === "pad") {
    context.fillStyle = meanEdgeColor(bitmap);
    context.fillRect(0, 0, width, height);
  }
  context.fillStyle = "#fff";
  context.fillRect(x, y, w, h);
  context.drawImage(bitmap, left, top, sourceWidth, sourceHeight, x, y, w, h);
  const pixels = context.getImageData(0, 0, width, height).data, size = width * height;
  const values = new Float32Array(channels * size);
  for (let i = 0; i < size; i++) {
    const [r, g, b] = pixels.subarray(4 * i, 4 * i + 3);
    // The weights of Pillow (ITU-R 601-2) convert a color to gray.
    const gray = r === g && g === b ? r : Math.round(0.299 * r + 0.587 * g + 0.114 * b);
    const colors = channels === 1 ? [gray] : [r, g, b];
    colors.forEach((color, channel) => { values[channel * size + i] = (invert ? 255 - color : color) / 255; });
  }
  return values;
}
