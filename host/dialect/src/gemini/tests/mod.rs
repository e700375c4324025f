mod embed;
mod recorded;
mod replies;
mod requests;
