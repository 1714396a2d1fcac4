-- A source to try with. Nobody in it exists. P0003 has a number of 11 digits, which no
-- database may land: it will be held back.
CREATE TABLE cong_dan (
    ma_ban_ghi    TEXT PRIMARY KEY NOT NULL,
    so_dinh_danh  TEXT,
    ho_ten        TEXT,
    ngay_sinh     TEXT,
    gioi_tinh     TEXT,
    so_dien_thoai TEXT,
    dia_chi       TEXT
);
INSERT INTO cong_dan VALUES
    ('P0001', '096085000011', 'Trần Thử Một',  '02/09/1985', '1', '0900000001', 'Ấp 1, xã Thử'),
    ('P0002', '096190000022', 'Lê Thử Hai',    '15/05/1990', '2', '0900000002', 'Ấp 2, xã Thử'),
    ('P0003', '09608500003',  'Phạm Thử Ba',   '30/04/1985', '1', '0900000003', 'Ấp 3, xã Thử');
