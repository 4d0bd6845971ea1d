//! M.
use crate::rig::{Rig, Test};
pub async fn every_combination_ends_as_the_model_says<R: Rig>(_t: &Test<R>) {}
