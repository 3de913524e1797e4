//! A Data API of Redshift: that of the tests of delivery.

#[path = "../../deliver/tests/redshift/copy.rs"]
#[allow(dead_code)]
pub(crate) mod copy;
#[path = "../../deliver/tests/redshift/data_api.rs"]
#[allow(dead_code)]
mod data_api;
#[path = "../../deliver/tests/redshift/execute.rs"]
mod execute;
#[path = "../../deliver/tests/redshift/translate.rs"]
mod translate;

use crate::support::s3;

pub(crate) use copy::ROLE;
pub(crate) use data_api::{DataApi, WORKGROUP};
