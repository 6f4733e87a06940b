// What deck.gl's discs do not know: four shapes, three emphases, haze with distance. All of it is told by the alpha of a point's colour,
// which is no opacity here: 0 hides the point, else it is 1 + shape + 4 · emphasis.
import { LayerExtension } from '@deck.gl/core';

export const DISC = 0, SQUARE = 1, TRIANGLE = 2, DIAMOND = 3;
/** Shapes in the order in which classes take them. */
export const SHAPES = 4;
export const DIMMED = 0, PLAIN = 1, CHOSEN = 2;
export const code = (shape, emphasis) => 1 + shape + 4 * emphasis;

/** All shapes have the area of a disc of this radius in the circle of radius 1 that deck.gl draws in (the triangle a little less). */
export const DISC_RADIUS = 0.8;

const uniforms = `
layout(std140) uniform markUniforms {
  vec4 page;
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
  uniformTypes: { page: 'vec4<f32>', opacity: 'f32', dimmed: 'f32', haze: 'f32', solid: 'f32' },
};

export class Marks extends LayerExtension {
  getShaders() {
    return {
      modules: [module],
      inject: {
        'vs:#decl': 'out float markCode; out float markHaze;',
        'vs:#main-end': `
          markCode = floor(instanceFillColors.a * 255.0 + 0.5);
          // What is nearer than the middle of the cloud is clear, what is behind it fades.
          markHaze = mark.haze * clamp(gl_Position.w / project.focalDistance - 0.75, 0.0, 1.0);
          if (markCode < 0.5) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
          // In depth, what is dimmed must not cover what is not.
          else if (markCode < 4.5 && mark.solid > 0.5) gl_Position.z = mix(gl_Position.z, gl_Position.w, 0.98);`,
        'fs:#decl': 'in float markCode; in float markHaze;',
        'fs:DECKGL_FILTER_COLOR': `
          vec2 at = geometry.uv;
          float rest = markCode - 1.0;
          float emphasis = floor(rest / 4.0 + 0.01);
          float shape = rest - 4.0 * emphasis;
          float away = shape < 0.5 ? length(at) - ${DISC_RADIUS}
            : shape < 1.5 ? max(abs(at.x), abs(at.y)) - 0.7
            : shape < 2.5 ? max(-at.y - 0.55, abs(at.x) * 0.87 + at.y * 0.5 - 0.5)
            : abs(at.x) + abs(at.y) - 1.0;
          float soft = max(fwidth(away) * 0.75, 1e-4);
          float inside = 1.0 - smoothstep(-soft, soft, away);
          float alpha = emphasis < 0.5 ? mark.dimmed : emphasis < 1.5 ? mark.opacity : max(mark.opacity, 0.9);
          vec3 plain = emphasis < 0.5 ? mix(color.rgb, vec3(0.5), 0.7) : color.rgb;
          color = vec4(mix(plain, mark.page.rgb, markHaze), alpha * inside);
          if (mark.solid > 0.5 && inside < 0.5) discard;
          if (color.a < 0.004) discard;`,
      },
    };
  }

  draw({ context }, extension) {
    const { markPage: page, markOpacity: opacity, markDimmed: dimmed, markHaze: haze, markSolid: solid } = this.props;
    this.setShaderModuleProps({ mark: { page, opacity, dimmed, haze, solid } });
  }
}
Marks.extensionName = 'Marks';
Marks.defaultProps = { markPage: [1, 1, 1, 1], markOpacity: 1, markDimmed: 0.1, markHaze: 0, markSolid: 0 };
