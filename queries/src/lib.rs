//! Queries of the lake: one DataFusion session over its tables, read-only and confined, and the report catalogue.
//!
//! [`QuerySession`] registers the tables it is given, adds the views of `views/*.sql`, and runs one SQL statement at a
//! time within limits of memory and time. [`ReportCatalog`] holds the reports of `reports/*.sql`. [`ResultWriter`] turns
//! batches into a table, CSV, JSON, Parquet, XLSX, Markdown or HTML. [`export_report`] writes a report as files into a folder
//! or bucket. Opening the lake and printing are left to others.

mod error;
mod export;
mod header;
mod limits;
mod output;
mod postgres;
mod report;
mod session;
pub mod shell;
mod text;

#[cfg(test)]
mod testing;

pub use error::{EngineError, NoSuchRelation, QueryError, Refusal};
pub use export::{
    Export, ExportError, ExportLink, ExportManifest, ExportOptions, ExportedFile, MANIFEST, export_folder,
    export_report,
};
pub use header::chart::{Chart, ChartKind};
pub use header::column::{ReportColumn, Unit};
pub use header::fault::HeaderFault;
pub use header::figure::{FigureKind, ReportFigure};
pub use header::parameter::{ParameterDefault, ParameterKind, ReportParameter};
pub use header::report::ReportHeader;
pub use header::view::ViewHeader;
pub use limits::guard::SQL_BYTES_MAX;
pub use limits::memory::process_bytes;
pub use output::error::OutputError;
pub use output::format::OutputFormat;
pub use output::table::TABLE_ROWS_MAX;
pub use output::writer::{ResultWriter, write_report, write_results};
pub use report::catalog::ReportCatalog;
pub use report::compare::{Compare, ComparedDays};
pub use report::definition::Report;
pub use report::error::ReportError;
pub use report::figures::Figure;
pub use report::origin::PeriodOrigin;
pub use report::parameters::{ReportParameters, ResolvedParameter};
pub use report::provenance::Provenance;
pub use report::question::{Asked, Completeness, Question};
pub use report::reconcile::{Reconciled, reconcile};
pub use report::result::ReportResult;
pub use session::execute::QueryStream;
pub use session::options::QueryOptions;
pub use session::origin::{Origin, StreamOrigin, TableOrigin};
pub use session::query_session::QuerySession;
pub use session::relations::{Relation, RelationKind};
pub use session::since::{ExpiredDays, Since};
pub use session::views::{ViewDescription, describe_views};
pub use text::figures::whole;
pub use text::nearest::{did_you_mean, nearest};
pub use text::time_zone::{UnknownTimeZone, parse_time_zone};
pub use text::visible::is_obeyed;
