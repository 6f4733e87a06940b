// The number of this workgroup where a long row of groups was laid out in two dimensions (gpu/kernel.rs: Batch::groups).
// The last row may run past the end: every kernel ignores numbers that are too large.
fn group_index(group: vec3u, groups: vec3u) -> u32 {
    return group.y * groups.x + group.x;
}
