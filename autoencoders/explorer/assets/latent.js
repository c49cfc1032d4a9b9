// Geometry of the latent space: the plane of the map, distances, paths and samples. Codes are arrays of numbers.

// The plane of the map. A code z has the point axes (z - origin).
class Plane {
  constructor({ origin, axes, names }) {
    this.origin = origin;
    this.axes = axes;
    this.names = names;
  }

  project(code) {
    return this.axes.map((axis) => axis.reduce((sum, weight, i) => sum + weight * (code[i] - this.origin[i]), 0));
  }

  // Returns the code with this point that has the same components outside of the plane as `code`.
  move(code, point) {
    const old = this.project(code);
    return Array.from(code, (value, i) => value + this.axes.reduce((sum, axis, k) => sum + axis[i] * (point[k] - old[k]), 0));
  }
}

function distance(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return Math.sqrt(sum);
}

// Returns the indices of the codes that are nearest to a code.
function findNearest(codes, code, count) {
  const distances = codes.map((other, index) => [distance(other, code), index]);
  return distances.sort((a, b) => a[0] - b[0]).slice(0, count).map(([, index]) => index);
}

function interpolateLinear(a, b, t) {
  return a.map((value, i) => value + (b[i] - value) * t);
}

// Returns a code on a path that rotates around a center, with a radius that changes linearly. It is the same path as
// `autoencoders.latent.paths.spherical`.
function interpolateSpherical(a, b, t, center) {
  const zero = a.map(() => 0), u = a.map((value, i) => value - center[i]), v = b.map((value, i) => value - center[i]);
  const [lengthU, lengthV] = [distance(u, zero), distance(v, zero)];
  const product = u.reduce((sum, value, i) => sum + value * v[i], 0) / (lengthU * lengthV);
  const angle = Math.acos(Math.min(1, Math.max(-1, product))), sine = Math.sin(angle);
  // The rotation is undefined if the ends and the center are on one line, or if an end is at the center.
  if (Math.min(lengthU, lengthV) <= 1e-12 || sine < 1e-6) return interpolateLinear(a, b, t);
  const [weightU, weightV] = [Math.sin((1 - t) * angle) / sine / lengthU, Math.sin(t * angle) / sine / lengthV];
  const radius = (1 - t) * lengthU + t * lengthV;
  return a.map((_, i) => (weightU * u[i] + weightV * v[i]) * radius + center[i]);
}

// Returns the index of a Gaussian, each with the probability of its weight.
function chooseComponent(weights) {
  let left = Math.random();
  const chosen = weights.findIndex((weight) => (left -= weight) < 0);
  return chosen < 0 ? weights.length - 1 : chosen;
}

// Returns a standard normal number (Box and Muller, 1958).
function randomNormal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

// Returns a sample of the density mean + temperature * root * eps. A missing root is the unit matrix. Of a mixture, it is
// a sample of a random Gaussian, or of the Gaussian of the class `label`.
function sampleCode({ mean, root, components }, temperature, label = null) {
  if (components) {
    const chosen = components.byClass ? label : chooseComponent(components.weights);
    return components.mean[chosen].map((value, i) => value + temperature * components.std[chosen][i] * randomNormal());
  }
  const eps = mean.map(randomNormal);
  const deviations = root ? root.map((row) => row.reduce((sum, weight, i) => sum + weight * eps[i], 0)) : eps;
  return mean.map((value, i) => value + temperature * deviations[i]);
}
