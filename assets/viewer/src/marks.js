// The layer of points: deck.gl's own are made of a small square a point, drawn once for each; this one draws the graphics card's own
// points, all at once, which on a software renderer took a sixth of the time (docs/viewer.md). Its marks have four shapes, three
// emphases, and haze with distance. All of it is told by the alpha of a point's colour, which is no opacity here: 0 hides the point, else
// it is 1 + shape + 4 · emphasis.
import { Layer, project32 } from '@deck.gl/core';
import { Model } from '@luma.gl/engine';

export const DISC = 0, SQUARE = 1;
/** Shapes in the order in which classes take them: disc, square, triangle, diamond. */
export const SHAPES = 4;
export const DIMMED = 0, PLAIN = 1, CHOSEN = 2;
export const code = (shape, emphasis) => 1 + shape + 4 * emphasis;

/** Marks are drawn in a square around a circle of this many radii, in which all shapes have about the area of the disc. */
const REACH = 1.25;
/** Half the side of the square, in radii of the disc. */
export const SQUARE_HALF = 0.7 * REACH;

const uniforms = `
layout(std140) uniform markUniforms {
  vec4 page;
  float radius;
  float opacity;
  float dimmed;
  float haze;
  float solid;
} mark;
`;

const module = {
  name: 'mark',
  vs: uniforms,
  fs: uniforms,
  uniformTypes: { page: 'vec4<f32>', radius: 'f32', opacity: 'f32', dimmed: 'f32', haze: 'f32', solid: 'f32' },
};

const vs = `#version 300 es
in vec3 positions;
in vec4 colors;
out vec3 tint;
out float told;
out float fog;
void main() {
  told = floor(colors.a * 255.0 + 0.5);
  tint = colors.rgb;
  gl_Position = project_position_to_clipspace(positions, vec3(0.0), vec3(0.0), geometry.position);
  float near = project.focalDistance / gl_Position.w;
  gl_PointSize = (2.0 * ${REACH} * mark.radius * near + 1.0) * project.devicePixelRatio;
  // What is nearer than the middle of the cloud is clear, what is behind it fades.
  fog = mark.haze * clamp(1.0 / near - 0.75, 0.0, 1.0);
  if (told < 0.5) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
  // In depth, what is dimmed must not cover what is not.
  else if (told < 4.5 && mark.solid > 0.5) gl_Position.z = mix(gl_Position.z, gl_Position.w, 0.98);
}
`;

const fs = `#version 300 es
precision highp float;
in vec3 tint;
in float told;
in float fog;
out vec4 fragColor;
void main() {
  vec2 at = (gl_PointCoord * 2.0 - 1.0) * vec2(1.0, -1.0);
  float emphasis = floor((told - 1.0) / 4.0 + 0.01);
  float shape = told - 1.0 - 4.0 * emphasis;
  float away = shape < 0.5 ? length(at) - ${1 / REACH}
    : shape < 1.5 ? max(abs(at.x), abs(at.y)) - 0.7
    : shape < 2.5 ? max(-at.y - 0.55, abs(at.x) * 0.87 + at.y * 0.5 - 0.5)
    : abs(at.x) + abs(at.y) - 1.0;
  float soft = max(fwidth(away) * 0.75, 1e-4);
  float inside = 1.0 - smoothstep(-soft, soft, away);
  if (inside < (mark.solid > 0.5 ? 0.5 : 0.01)) discard;
  float alpha = emphasis < 0.5 ? mark.dimmed : emphasis < 1.5 ? mark.opacity : max(mark.opacity, 0.9);
  vec3 plain = emphasis < 0.5 ? mix(tint, vec3(0.5), 0.7) : tint;
  fragColor = vec4(mix(plain, mark.page.rgb, fog), alpha * inside);
}
`;

/** Points: binary or called `getPosition` and `getColor` (see above for its alpha), and what they share. */
export class Marks extends Layer {
  initializeState() {
    this.getAttributeManager().add({
      positions: { size: 3, type: 'float32', accessor: 'getPosition' },
      colors: { size: 4, type: 'unorm8', accessor: 'getColor', defaultValue: [0, 0, 0, 255] },
    });
    this.state.model = new Model(this.context.device, {
      ...this.getShaders({ vs, fs, modules: [project32, module] }),
      id: this.props.id,
      bufferLayout: this.getAttributeManager().getBufferLayouts(),
      topology: 'point-list',
      vertexCount: 0,
    });
  }

  draw() {
    const { page, radius, opacity, dimmed, haze, solid, data, share } = this.props;
    const { model } = this.state;
    model.shaderInputs.setProps({ mark: { page, radius, opacity, dimmed, haze, solid } });
    // The order of drawing is a shuffled one: any part of it is a fair sample.
    model.setVertexCount(Math.ceil(data.length * share));
    model.draw(this.context.renderPass);
  }
}
Marks.layerName = 'Marks';
Marks.defaultProps = {
  getPosition: { type: 'accessor', value: (d) => d.at },
  getColor: { type: 'accessor', value: [0, 0, 0, 255] },
  page: { type: 'array', value: [1, 1, 1, 1] },
  share: 1,
  radius: 3,
  dimmed: 0.1,
  haze: 0,
  solid: 0,
};
