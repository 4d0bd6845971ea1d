//! The macro that turns the cases into tests.

/// Makes a test for each case, `name::section::case`.
///
/// The second argument is called for each case, on the thread of its host, and returns a spawner or a
/// [`Rig`](crate::Rig). It can use the names that are in scope around the macro. The macro defines only the module `name`.
///
/// # Examples
///
/// ```
/// # use taskgroup_conformance::spawners::ThreadEach as MySpawner;
/// use taskgroup_conformance::{Rig, suite};
///
/// suite!(my_spawner, || MySpawner);
/// suite!(with_what_is_known_of_it, || Rig::new(MySpawner).costly());
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! suite {
    ($name:ident, $rig:expr $(,)?) => {
        $crate::__for_all_cases! { $crate::__suite, $name ($rig) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __suite {
    (
        $name:ident ($rig:expr)
        { $($typed:ident { $($generic:ident)* })* }
        { $($section:ident { $($case:ident)* })* }
    ) => {
        mod $name {
            /// A separate module, so that no section hides a name that the expression uses.
            mod rig {
                #[allow(unused_imports, reason = "the expression may name nothing from there")]
                use super::super::*;

                pub(super) fn new() -> $crate::Rig<impl $crate::__Spawner> {
                    let new = $rig;
                    $crate::Rig::from(new())
                }

                pub(super) fn erased() -> $crate::Rig {
                    new().erased()
                }
            }

            $(mod $typed {
                $(#[test]
                fn $generic() {
                    $crate::list::$typed::$generic(super::rig::new);
                })*
            })*

            $(mod $section {
                $(#[test]
                fn $case() {
                    $crate::list::$section::$case(super::rig::erased);
                })*
            })*
        }
    };
}
