//! Shader text: assembled from parts, read by naga, and held against the Rust structs that feed it.

use crate::{Error, Result};

/// One WGSL file of `shaders/`, compiled into the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its path below `shaders/`.
    pub path: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// Names a file of `shaders/` as a [`Part`].
#[macro_export]
macro_rules! wgsl {
    ($path:literal) => {
        $crate::gpu::Part { path: $path, text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path)) }
    };
}

/// The parts of one shader in order, the driver (bindings and entry points) last, and the parameter struct it reads.
#[derive(Debug, Clone, Copy)]
pub struct Shader {
    /// The parts in order.
    pub parts: &'static [Part],
    /// The struct behind its `params` binding.
    pub params: Structure,
}

/// A `repr(C)` struct as Rust lays it out.
#[derive(Debug, Clone, Copy)]
pub struct Structure {
    /// Its name, the same in WGSL.
    pub name: &'static str,
    /// Its size in bytes.
    pub size: usize,
    /// Its fields in order: name and offset in bytes.
    pub fields: &'static [(&'static str, usize)],
}

/// A struct declared by [`params!`](crate::params).
pub trait Params: bytemuck::Pod {
    /// Its layout.
    const STRUCTURE: Structure;
}

/// Declares the parameter struct of a shader, with the layout that is compared with naga's when the shader is compiled.
#[macro_export]
macro_rules! params {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }

        impl $crate::gpu::Params for $name {
            const STRUCTURE: $crate::gpu::Structure = $crate::gpu::Structure {
                name: stringify!($name),
                size: size_of::<$name>(),
                fields: &[$((stringify!($field), std::mem::offset_of!($name, $field)),)*],
            };
        }
    };
}

/// What naga reads from an assembled shader.
pub(super) struct Reflection {
    pub text: String,
    module: naga::Module,
    info: naga::valid::ModuleInfo,
}

/// A binding of an entry point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub name: String,
    pub binding: u32,
}

impl Shader {
    /// The driver's path, which names the shader.
    pub fn name(&self) -> &'static str {
        self.parts.last().map_or("", |part| part.path)
    }

    /// All parts' paths: the same driver may stand on different parts.
    pub fn key(&self) -> String {
        self.parts.iter().map(|part| part.path).collect::<Vec<_>>().join("+")
    }

    /// Assembles, parses and validates the text without a device, and compares the parameter struct.
    ///
    /// # Errors
    /// [`Error::Job`] with the shader's name and naga's message.
    pub fn validate(&self) -> Result<()> {
        self.reflect().map(|_| ())
    }

    /// The entry points in the text, each with its bindings' names.
    ///
    /// # Errors
    /// As for [`Shader::validate`].
    pub fn entry_points(&self) -> Result<Vec<(String, Vec<String>)>> {
        let reflection = self.reflect()?;
        let names = reflection.module.entry_points.iter().map(|entry| entry.name.clone());
        Ok(names
            .map(|name| (name.clone(), reflection.slots(&name).into_iter().map(|slot| slot.name).collect()))
            .collect())
    }

    pub(super) fn reflect(&self) -> Result<Reflection> {
        let text =
            self.parts.iter().map(|part| format!("// {}\n{}", part.path, part.text)).collect::<Vec<_>>().join("\n");
        let fail = |cause: String| Error::job(format!("shader {}", self.name()), cause, "report this");
        let module = naga::front::wgsl::parse_str(&text).map_err(|error| fail(error.emit_to_string(&text)))?;
        let mut validator =
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
        let info = validator.validate(&module).map_err(|error| fail(error.emit_to_string(&text)))?;
        let reflection = Reflection { text, module, info };
        reflection.compare(&self.params).map_err(fail)?;
        Ok(reflection)
    }
}

impl Reflection {
    /// The workgroup size of an entry point, if there is one of that name.
    pub fn workgroup(&self, entry: &str) -> Option<[u32; 3]> {
        self.module.entry_points.iter().find(|point| point.name == entry).map(|point| point.workgroup_size)
    }

    /// The bindings that an entry point uses.
    pub fn slots(&self, entry: &str) -> Vec<Slot> {
        let Some(index) = self.module.entry_points.iter().position(|point| point.name == entry) else {
            return Vec::new();
        };
        let used = self.info.get_entry_point(index);
        let globals = self.module.global_variables.iter();
        globals
            .filter(|(handle, _)| !used[*handle].is_empty())
            .filter_map(|(_, variable)| {
                let binding = variable.binding.as_ref()?.binding;
                Some(Slot { name: variable.name.clone().unwrap_or_default(), binding })
            })
            .collect()
    }

    fn compare(&self, rust: &Structure) -> std::result::Result<(), String> {
        let structure = self.module.types.iter().find(|(_, ty)| ty.name.as_deref() == Some(rust.name));
        let Some((_, naga::Type { inner: naga::TypeInner::Struct { members, span }, .. })) = structure else {
            return Err(format!("has no struct {}", rust.name));
        };
        let wgsl = members.iter().map(|member| (member.name.clone().unwrap_or_default(), member.offset as usize));
        let ours = rust.fields.iter().map(|(name, offset)| ((*name).to_owned(), *offset));
        if *span as usize != rust.size || !wgsl.clone().eq(ours.clone()) {
            return Err(format!(
                "struct {} is {:?} of {span} bytes in WGSL and {:?} of {} bytes in Rust",
                rust.name,
                wgsl.collect::<Vec<_>>(),
                ours.collect::<Vec<_>>(),
                rust.size
            ));
        }
        Ok(())
    }
}
