//! Trees of operations, and how they are drawn.

use proptest::collection::vec;
use proptest::prelude::*;

/// What a member does, in order.
pub type Program = Vec<Op>;

#[derive(Clone, Debug)]
pub enum Op {
    Yield,
    /// Sleeps for so many seconds.
    Sleep(u8),
    /// Waits for ever, so until it is cancelled.
    Stuck,
    /// Starts a child in the group that is `up` groups further out than the member's own.
    Spawn {
        up: u8,
        program: Program,
    },
    /// Cancels one of the children that the member has spawned.
    CancelChild(u8),
    /// Waits for one of the children that the member has spawned.
    Await(u8),
    Cancel {
        up: u8,
    },
    Close {
        up: u8,
    },
    Shield(Program),
    /// Opens a scope, and drops it after so many yields if it has not ended.
    Scope {
        deadline: Option<u8>,
        halfway: Option<u8>,
        body: Program,
    },
    /// Opens a free-standing group.
    Group {
        deadline: Option<u8>,
        children: Vec<Program>,
        end: End,
    },
    Fail,
    Panic,
}

/// What becomes of a free-standing group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Join,
    Drop,
    Leak,
    /// It is dropped together with the member that opened it.
    Keep,
}

/// The kinds of operations that a tree has to contain now and then.
pub const KINDS: [&str; 10] =
    ["spawn", "fail", "panic", "cancel", "close", "shield", "open", "drop", "leak", "deadline"];

/// How many operations were done in a run, and how often each of [`KINDS`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Census {
    pub operations: usize,
    pub of: [usize; KINDS.len()],
    /// The children that were spawned from outside.
    pub from_outside: usize,
    /// How often the runtime went away before the tree was done.
    pub torn: usize,
    /// How many groups and handles reported that the runtime had dropped a child.
    pub lost: usize,
}

impl Census {
    /// Counts an operation that begins.
    pub fn add(&mut self, op: &Op) {
        self.operations += 1;
        match op {
            Op::Yield | Op::Sleep(_) | Op::Stuck | Op::Await(_) => {}
            Op::Spawn { .. } => self.of[0] += 1,
            Op::Fail => self.of[1] += 1,
            Op::Panic => self.of[2] += 1,
            Op::Cancel { .. } | Op::CancelChild(_) => self.of[3] += 1,
            Op::Close { .. } => self.of[4] += 1,
            Op::Shield(_) => self.of[5] += 1,
            Op::Scope { deadline, halfway, .. } => self.opens(*deadline, halfway.is_some(), false),
            Op::Group { deadline, end, .. } => {
                self.opens(*deadline, matches!(end, End::Drop | End::Keep), *end == End::Leak);
            }
        }
    }

    fn opens(&mut self, deadline: Option<u8>, dropped: bool, leaked: bool) {
        self.of[6] += 1;
        self.of[7] += usize::from(dropped);
        self.of[8] += usize::from(leaked);
        self.of[9] += usize::from(deadline.is_some());
    }
}

/// Draws the program of the outermost body.
pub fn programs() -> impl Strategy<Value = Program> {
    vec(op(), 6..14)
}

fn op() -> impl Strategy<Value = Op> {
    let leaf = prop_oneof![
        24 => Just(Op::Yield),
        6 => (1..4u8).prop_map(Op::Sleep),
        2 => Just(Op::Stuck),
        4 => any::<u8>().prop_map(Op::CancelChild),
        4 => any::<u8>().prop_map(Op::Await),
        1 => up().prop_map(|up| Op::Cancel { up }),
        1 => up().prop_map(|up| Op::Close { up }),
        1 => Just(Op::Fail),
        1 => Just(Op::Panic),
    ];
    leaf.prop_recursive(5, 80, 6, |op| {
        let program = vec(op, 1..6);
        prop_oneof![
            4 => (up(), program.clone()).prop_map(|(up, program)| Op::Spawn { up, program }),
            1 => program.clone().prop_map(Op::Shield),
            2 => (deadline(), proptest::option::weighted(0.3, 0..6u8), program.clone())
                .prop_map(|(deadline, halfway, body)| Op::Scope { deadline, halfway, body }),
            2 => (deadline(), vec(program, 1..4), end())
                .prop_map(|(deadline, children, end)| Op::Group { deadline, children, end }),
        ]
    })
}

/// Draws mostly the member's own group.
fn up() -> impl Strategy<Value = u8> {
    prop_oneof![4 => Just(0u8), 1 => 1..4u8]
}

fn deadline() -> impl Strategy<Value = Option<u8>> {
    proptest::option::weighted(0.2, 1..6u8)
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![3 => Just(End::Join), 1 => Just(End::Drop), 1 => Just(End::Leak), 1 => Just(End::Keep)]
}
