//! The schema of Score as a table: the one list of fields, types and patterns. YAML and JSON are
//! checked against it alike; rules that span several fields are in `relations`.

use super::pattern::{self, Pattern};

/// What a value must be.
pub(super) enum Shape {
    /// Text that keeps a rule.
    Text(&'static Pattern),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A port: 1 to 65535.
    Port,
    /// True or false.
    Bool,
    /// A map of anything.
    AnyMap,
    /// A list of one sort.
    List(&'static Shape),
    /// A map with names of its own choice.
    Map(&'static Named),
    /// A map with fields that are given.
    Object(&'static Object),
    /// Either by target, or (deprecated) as a list with `target` in each item.
    ByTarget(&'static Object),
}

/// A map with names of its own choice.
pub(super) struct Named {
    /// What one is called: "a container".
    pub(super) what: &'static str,
    pub(super) key: &'static Pattern,
    pub(super) value: Shape,
    /// Whether there must be at least one.
    pub(super) some: bool,
}

/// A map with fields that are given.
pub(super) struct Object {
    /// What it is called: "a container".
    pub(super) what: &'static str,
    pub(super) fields: &'static [Field],
    /// Which other fields it takes.
    pub(super) others: Others,
}

/// Which fields beyond the given ones an object takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    None,
    Any,
    /// `x-` and a name: extensions of other implementations, each a map. Read, and left aside.
    Extensions,
}

/// A field of an object.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) required: bool,
}

/// Whether the field of a workload that `path` leads to is text.
pub(super) fn is_text(path: &[String]) -> bool {
    let of = |object: &'static Object, name: &str| -> Option<&'static Shape> {
        let mut fields = object.fields.iter();
        let field = fields.find(|field| field.name == name)?;
        Some(&field.shape)
    };
    let workload = Shape::Object(&WORKLOAD);
    let mut shape = &workload;
    let mut names = path.iter();
    while let Some(name) = names.next() {
        let below = match *shape {
            Shape::Object(object) => of(object, name),
            Shape::Map(named) => Some(&named.value),
            Shape::List(item) => Some(item),
            // Below the target, or the item's number.
            Shape::ByTarget(object) => names.next().and_then(|name| of(object, name)),
            _ => None,
        };
        match below {
            Some(below) => shape = below,
            None => return false,
        }
    }
    matches!(shape, Shape::Text(_))
}

const fn field(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        required: false,
    }
}

const fn required(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        required: true,
    }
}

const fn object(what: &'static str, fields: &'static [Field]) -> Object {
    Object {
        what,
        fields,
        others: Others::None,
    }
}

pub(super) static WORKLOAD: Object = Object {
    what: "a workload",
    fields: &[
        required("apiVersion", Shape::Text(&pattern::API_VERSION)),
        required("metadata", Shape::Object(&METADATA)),
        field("service", Shape::Object(&SERVICE)),
        required("containers", Shape::Map(&CONTAINERS)),
        field("resources", Shape::Map(&RESOURCES)),
    ],
    others: Others::Extensions,
};

static METADATA: Object = Object {
    what: "a workload's metadata",
    fields: &[
        required("name", Shape::Text(&pattern::LABEL)),
        field("annotations", Shape::Map(&ANNOTATIONS)),
    ],
    others: Others::Any,
};

static ANNOTATIONS: Named = Named {
    what: "an annotation",
    key: &pattern::ANNOTATION,
    value: Shape::Text(&pattern::NO_NUL),
    some: false,
};

static SERVICE: Object = object("a service", &[field("ports", Shape::Map(&PORTS))]);

static PORTS: Named = Named {
    what: "a port",
    key: &pattern::LABEL,
    value: Shape::Object(&PORT),
    some: false,
};

static PORT: Object = object(
    "a port",
    &[
        required("port", Shape::Port),
        field("targetPort", Shape::Port),
        field("protocol", Shape::Word(&["TCP", "UDP"])),
    ],
);

static CONTAINERS: Named = Named {
    what: "a container",
    key: &pattern::LABEL,
    value: Shape::Object(&CONTAINER),
    some: true,
};

pub(super) static CONTAINER: Object = object(
    "a container",
    &[
        required("image", Shape::Text(&pattern::NOT_EMPTY)),
        field("command", Shape::List(&Shape::Text(&pattern::NO_NUL))),
        field("args", Shape::List(&Shape::Text(&pattern::NO_NUL))),
        field("variables", Shape::Map(&VARIABLES)),
        field("files", Shape::ByTarget(&FILE)),
        field("volumes", Shape::ByTarget(&VOLUME)),
        field("resources", Shape::Object(&COMPUTE)),
        field("livenessProbe", Shape::Object(&PROBE)),
        field("readinessProbe", Shape::Object(&PROBE)),
        field("before", Shape::Map(&BEFORE)),
    ],
);

static VARIABLES: Named = Named {
    what: "a variable",
    key: &pattern::VARIABLE_NAME,
    value: Shape::Text(&pattern::NO_NUL),
    some: false,
};

static FILE: Object = object(
    "a file",
    &[
        field("target", Shape::Text(&pattern::NOT_EMPTY)),
        field("mode", Shape::Text(&pattern::MODE)),
        field("source", Shape::Text(&pattern::NOT_EMPTY)),
        field("content", Shape::Text(&TEXT)),
        field("binaryContent", Shape::Text(&BASE64)),
        field("noExpand", Shape::Bool),
    ],
);

static TEXT: Pattern = Pattern {
    accepts: |_| true,
    wrong: "",
    remedy: "",
};

static BASE64: Pattern = Pattern {
    accepts: |text| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .is_ok()
    },
    wrong: "is not base64",
    remedy: "encode the bytes as standard base64 with padding and without line ends: `base64 -w0 FILE`",
};

static VOLUME: Object = object(
    "a volume",
    &[
        field("target", Shape::Text(&pattern::NOT_EMPTY)),
        required("source", Shape::Text(&pattern::NOT_EMPTY)),
        field("path", Shape::Text(&pattern::NO_NUL)),
        field("readOnly", Shape::Bool),
    ],
);

static COMPUTE: Object = object(
    "a container's resources",
    &[
        field("limits", Shape::Object(&QUANTITIES)),
        field("requests", Shape::Object(&QUANTITIES)),
    ],
);

static QUANTITIES: Object = object(
    "an amount of resources",
    &[
        field("cpu", Shape::Text(&pattern::CPU)),
        field("memory", Shape::Text(&pattern::MEMORY)),
    ],
);

static PROBE: Object = object(
    "a probe",
    &[
        field("httpGet", Shape::Object(&HTTP_PROBE)),
        field("exec", Shape::Object(&EXEC_PROBE)),
    ],
);

static HTTP_PROBE: Object = object(
    "an HTTP probe",
    &[
        required("port", Shape::Port),
        required("path", Shape::Text(&pattern::NO_NUL)),
        field("host", Shape::Text(&pattern::NOT_EMPTY)),
        field("scheme", Shape::Word(&["HTTP", "HTTPS"])),
        field("httpHeaders", Shape::List(&Shape::Object(&HEADER))),
    ],
);

static HEADER: Object = object(
    "an HTTP header",
    &[
        required("name", Shape::Text(&pattern::HEADER_NAME)),
        required("value", Shape::Text(&pattern::HEADER_VALUE)),
    ],
);

static EXEC_PROBE: Object = object(
    "a probe's command",
    &[required(
        "command",
        Shape::List(&Shape::Text(&pattern::NO_NUL)),
    )],
);

static BEFORE: Named = Named {
    what: "a container that waits",
    key: &pattern::LABEL,
    value: Shape::Object(&BEFORE_READY),
    some: false,
};

static BEFORE_READY: Object = object(
    "what a container waits for",
    &[required(
        "ready",
        Shape::Word(&["started", "healthy", "complete"]),
    )],
);

static RESOURCES: Named = Named {
    what: "a resource",
    key: &pattern::RESOURCE_NAME,
    value: Shape::Object(&RESOURCE),
    some: false,
};

static RESOURCE: Object = object(
    "a resource",
    &[
        required("type", Shape::Text(&pattern::RESOURCE_TYPE)),
        field("class", Shape::Text(&pattern::RESOURCE_TYPE)),
        field("id", Shape::Text(&pattern::RESOURCE_ID)),
        field("metadata", Shape::Object(&RESOURCE_METADATA)),
        field("params", Shape::AnyMap),
    ],
);

static RESOURCE_METADATA: Object = Object {
    what: "a resource's metadata",
    fields: &[field("annotations", Shape::Map(&ANNOTATIONS))],
    others: Others::Any,
};
