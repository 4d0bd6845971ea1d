//! Puts all mutants of a file into it, each behind `crate::mutant(id)`.
//!
//! ```text
//! fn f() -> bool { a == b }   becomes   fn f() -> bool { if mutant(1) { return true; } ((a == b) ^ mutant(2)) }
//! a && b                      becomes   ((((a) ^ mutant(3)) && ((b) ^ mutant(3))) ^ mutant(3))
//! ```
//!
//! If 3 is chosen, the second one is `a || b`, and evaluates no more than that would.

use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Arm, BinOp, ExprBinary, ExprUnary, ImplItemConst, ImplItemFn, ItemConst, TypeArray};

use crate::Mutant;

/// Returns the file with these mutants in it, and the mutants that cannot be put there.
pub fn rewrite<'a>(text: &str, mutants: impl Iterator<Item = &'a Mutant>) -> (String, Vec<usize>) {
    let file = syn::parse_file(text).expect("it compiles");
    let mutants: Vec<_> = mutants.collect();
    let mut edits = Edits { text, lines: lines(text), mutants: &mutants, made: Vec::new(), done: Vec::new() };
    edits.replace_bodies();
    edits.visit_file(&file);
    let apart = mutants.iter().map(|mutant| mutant.id).filter(|id| !edits.done.contains(id)).collect();
    (edits.apply(), apart)
}

/// Returns the mutant whose body begins in this line of such a file.
pub fn body_of(line: &str) -> Option<usize> {
    line.strip_prefix("/* ")?.split(' ').next()?.parse().ok()
}

/// Returns the mutants that such a line asks for.
pub fn asked_in(line: &str) -> Vec<usize> {
    let asks = line.split("crate::mutant(").skip(1);
    asks.filter_map(|rest| rest.split(')').next()?.parse().ok()).collect()
}

fn lines(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

fn chosen(id: usize) -> String {
    format!("crate::mutant({id})")
}

/// What is inserted, before something that begins there or after something that ends there.
enum Edit {
    Open(usize, String),
    Close(usize, String),
    Cut(usize, usize),
}

struct Edits<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    mutants: &'a [&'a Mutant],
    made: Vec<Edit>,
    done: Vec<usize>,
}

impl Edits<'_> {
    fn offset(&self, at: LineColumn) -> usize {
        let line = self.lines[at.line - 1];
        line + self.text[line..].chars().take(at.column).map(char::len_utf8).sum::<usize>()
    }

    fn range(&self, of: &impl Spanned) -> (usize, usize) {
        (self.offset(of.span().start()), self.offset(of.span().end()))
    }

    fn open(&mut self, at: usize, text: impl Into<String>) {
        self.made.push(Edit::Open(at, text.into()));
    }

    fn close(&mut self, at: usize, text: impl Into<String>) {
        self.made.push(Edit::Close(at, text.into()));
    }

    /// Returns from a replaced body at once, on a line of its own.
    fn replace_bodies(&mut self) {
        // An opaque return type cannot be two types.
        let here = |mutant: &&&Mutant| mutant.is_body && !mutant.name.contains(" -> impl ");
        for mutant in self.mutants.iter().filter(here) {
            let at = self.offset(LineColumn { line: mutant.line, column: mutant.column - 1 });
            let Mutant { id, replacement, .. } = mutant;
            self.open(at, format!("\n/* {id} */ if {} {{ return {replacement}; }}\n", chosen(*id)));
            self.done.push(*id);
        }
    }

    /// Returns the mutants that change what begins here: their ids, and what replaces it.
    fn at(&mut self, at: LineColumn, what: &str) -> Vec<(usize, String)> {
        let here = |mutant: &&&Mutant| {
            let at_it = (mutant.line, mutant.column) == (at.line, at.column + 1);
            at_it && !mutant.is_body && mutant.name.contains(what)
        };
        let found: Vec<_> =
            self.mutants.iter().filter(here).map(|mutant| (mutant.id, mutant.replacement.clone())).collect();
        self.done.extend(found.iter().map(|(id, _)| id));
        found
    }

    /// Puts other operators in the place of the one in `left op right`.
    fn replace_operator(&mut self, expr: &ExprBinary, found: &[(usize, String)]) {
        let (begin, end) = self.range(expr);
        let (left_end, right) = (self.range(&*expr.left).1, self.range(&*expr.right).0);
        let operator = self.text[left_end..right].trim();
        // The left side of an assignment stays a place.
        let assigns = operator.ends_with('=') && !matches!(expr.op, BinOp::Ge(_) | BinOp::Le(_));
        let (left, before) = if assigns {
            self.open(begin, "match ");
            self.made.push(Edit::Cut(begin, right));
            (&self.text[begin..left_end], "")
        } else {
            self.open(begin, "(match ");
            self.visit_expr(&expr.left);
            self.made.push(Edit::Cut(left_end, right));
            self.open(right, " { left => match ");
            ("left", " })")
        };
        let other =
            |(id, other): &(usize, String)| format!("if {} {{ {left} {other} right }} else ", chosen(*id));
        let others: String = found.iter().map(other).collect();
        self.close(end, format!(" {{ right => {others}{{ {left} {operator} right }} }}{before}"));
    }

    fn apply(self) -> String {
        let mut cuts = Vec::new();
        let mut put = Vec::new();
        for (number, edit) in self.made.into_iter().enumerate() {
            match edit {
                Edit::Cut(from, to) => cuts.push(from..to),
                // What is outermost was visited first, so it opens first and closes last.
                Edit::Open(at, text) => put.push((at, 1, number as isize, text)),
                Edit::Close(at, text) => put.push((at, 0, -(number as isize), text)),
            }
        }
        put.sort();
        let mut put = put.into_iter().peekable();
        let mut out = String::new();
        for (at, char) in self.text.char_indices() {
            while let Some((_, _, _, text)) = put.next_if(|next| next.0 <= at) {
                out += &text;
            }
            if !cuts.iter().any(|cut| cut.contains(&at)) {
                out.push(char);
            }
        }
        out
    }
}

/// Constant code cannot ask which mutant it is, so mutants of it are left out.
impl<'ast> Visit<'ast> for Edits<'_> {
    fn visit_item_const(&mut self, _: &'ast ItemConst) {}

    fn visit_impl_item_const(&mut self, _: &'ast ImplItemConst) {}

    fn visit_type_array(&mut self, _: &'ast TypeArray) {}

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        if function.sig.constness.is_none() {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_expr_unary(&mut self, expr: &'ast ExprUnary) {
        for (id, _) in self.at(expr.op.span().start(), "delete !") {
            let ((begin, end), (inner, _)) = (self.range(expr), self.range(&*expr.expr));
            self.open(begin, "(match ");
            self.made.push(Edit::Cut(begin, inner));
            self.close(end, format!(" {{ inner => if {} {{ inner }} else {{ !inner }} }})", chosen(id)));
        }
        visit::visit_expr_unary(self, expr);
    }

    fn visit_expr_binary(&mut self, expr: &'ast ExprBinary) {
        let found = self.at(expr.op.span().start(), "replace ");
        let Some((id, _)) = found.first() else { return visit::visit_expr_binary(self, expr) };
        let (chosen, (begin, end)) = (chosen(*id), self.range(expr));
        match expr.op {
            BinOp::And(_) | BinOp::Or(_) => {
                let (left_end, right) = (self.range(&*expr.left).1, self.range(&*expr.right).0);
                self.open(begin, "((((");
                self.close(end, format!(") ^ {chosen})) ^ {chosen})"));
                self.close(left_end, format!(") ^ {chosen})"));
                self.open(right, "((");
            }
            BinOp::Eq(_) | BinOp::Ne(_) => {
                self.open(begin, "((");
                self.close(end, format!(") ^ {chosen})"));
            }
            _ => {
                self.replace_operator(expr, &found);
                // The left side of an assignment was cut.
                return self.visit_expr(&expr.right);
            }
        }
        visit::visit_expr_binary(self, expr);
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        if let Some((_, guard)) = &arm.guard {
            for (id, other) in self.at(guard.span().start(), "match guard") {
                let (begin, end) = self.range(&**guard);
                self.open(begin, "((");
                let and =
                    if other == "true" { format!("| {}", chosen(id)) } else { format!("& !{}", chosen(id)) };
                self.close(end, format!(") {and})"));
            }
        }
        for (id, _) in self.at(arm.span().start(), "delete match arm") {
            let end = self.range(&arm.pat).1;
            self.close(end, format!(" if !{}", chosen(id)));
        }
        visit::visit_arm(self, arm);
    }
}
