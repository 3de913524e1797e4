//! Uploads files to the lake, some side by side.

use bluelake_lake::{DataFile, NewFile, Uploader};
use bluelake_schemas::Stream;
use tokio::task::JoinSet;

use crate::{
    error::IngestError,
    landing::{
        draft::{Draft, Target, Uploaders},
        encode::EncodedFiles,
        retry::{self, Patience},
    },
    progress::WorkerStep,
};

/// Uploads under way at once, and their bytes: many small files, or a few large ones.
const UPLOADS: usize = 16;
const UPLOAD_BYTES: usize = 16 << 20;

/// Uploads files as they come and adds them to the draft.
///
/// # Errors
/// When rows cannot be encoded, or the lake has failed for too long.
pub(crate) async fn upload_all(
    uploaders: &Uploaders,
    draft: &mut Draft,
    mut encoded: EncodedFiles,
    patience: &Patience,
) -> Result<(), IngestError> {
    let stream = uploaders.stream;
    let mut uploads: JoinSet<Result<(Target, DataFile), IngestError>> = JoinSet::new();
    let mut bytes_under_way = 0;
    while let Some(file) = encoded.next(stream).await {
        let (target, file) = file?;
        draft.observe_step(WorkerStep::Uploading);
        while uploads.len() >= UPLOADS || (!uploads.is_empty() && bytes_under_way + file.bytes.len() > UPLOAD_BYTES) {
            bytes_under_way -= take_upload(stream, &mut uploads, draft).await?.min(bytes_under_way);
        }
        bytes_under_way += file.bytes.len();
        let file = NewFile {
            path: file.path(draft.id(), draft.take_number()),
            partition_values: file.partition_values,
            bytes: file.bytes,
            rows: file.rows,
            statistics: file.statistics,
        };
        let (uploader, patience) = (uploaders.to(target), patience.clone());
        uploads.spawn(async move { Ok((target, upload(uploader, file, patience).await?)) });
    }
    while !uploads.is_empty() {
        take_upload(stream, &mut uploads, draft).await?;
    }
    Ok(())
}

async fn upload(uploader: Uploader, file: NewFile, patience: Patience) -> Result<DataFile, IngestError> {
    retry::until("upload", &patience, || uploader.upload(file.clone())).await
}

/// Adds an uploaded file to the draft; gives its bytes.
async fn take_upload(
    stream: Stream,
    uploads: &mut JoinSet<Result<(Target, DataFile), IngestError>>,
    draft: &mut Draft,
) -> Result<usize, IngestError> {
    match uploads.join_next().await {
        Some(Ok(uploaded)) => {
            let (target, file) = uploaded?;
            let bytes = usize::try_from(file.size).unwrap_or(usize::MAX);
            draft.add(target, file);
            Ok(bytes)
        }
        Some(Err(error)) => Err(IngestError::task(stream, &error)),
        None => Ok(0),
    }
}
